/* Stands between a process and the kernel: fails the n-th operation that changes a file below a folder, or writes all of
 * them down. Built by shim.py, loaded by LD_PRELOAD, steered by `torture_arm` and `torture_trace`.
 *
 * A line of the trace: operation, path (for a rename: both, separated by a tab), offset, number of bytes; then the bytes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static char folder[PATH_MAX];
static long countdown = -1, seen = 0;
static int error_number = 0, trace = -1, sticky = 0;

void torture_arm(const char *below, long number, int error, int stays) {
  strncpy(folder, below, sizeof folder - 1);
  countdown = number; error_number = error; sticky = stays; seen = 0;
}
void torture_trace(const char *below, int descriptor) { strncpy(folder, below, sizeof folder - 1); trace = descriptor; }
long torture_seen(void) { return seen; }

static int below(const char *path) { return folder[0] && !strncmp(path, folder, strlen(folder)); }
static int fails(void) {
  seen++;
  if (countdown < 0) return 0;
  if (countdown == 0) { if (!sticky) countdown = -1; errno = error_number; return 1; }
  countdown--;
  return 0;
}
static const char *of(int descriptor, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t size = readlink(link, path, PATH_MAX - 1);
  path[size < 0 ? 0 : size] = 0;
  return path;
}
static void absolute(const char *given, char *path) {
  if (given[0] == '/') { strncpy(path, given, PATH_MAX - 1); path[PATH_MAX - 1] = 0; return; }
  if (!getcwd(path, PATH_MAX / 2)) path[0] = 0;
  strcat(path, "/"); strncat(path, given, PATH_MAX / 2 - 2);
}
static void note(const char *what, const char *one, const char *other, long offset, const void *data, size_t size) {
  if (trace < 0) return;
  char line[3 * PATH_MAX];
  int length = snprintf(line, sizeof line, "%s\x1f%s\t%s\x1f%ld\x1f%zu\n", what, one, other, offset, size);
  syscall(SYS_write, trace, line, length);
  if (size) syscall(SYS_write, trace, data, size);
}
#define REAL(type, name, ...) static type (*real)(__VA_ARGS__); if (!real) real = dlsym(RTLD_NEXT, #name)

ssize_t write(int descriptor, const void *data, size_t size) {
  REAL(ssize_t, write, int, const void *, size_t);
  char path[PATH_MAX];
  if (descriptor == trace || !folder[0] || !below(of(descriptor, path))) return real(descriptor, data, size);
  if (fails()) return -1;
  long offset = (fcntl(descriptor, F_GETFL) & O_APPEND) ? lseek(descriptor, 0, SEEK_END) : lseek(descriptor, 0, SEEK_CUR);
  ssize_t done = real(descriptor, data, size);
  if (done > 0) note("write", path, "", offset, data, done);
  return done;
}
ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t offset) {
  REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
  char path[PATH_MAX];
  if (!folder[0] || !below(of(descriptor, path))) return real(descriptor, data, size, offset);
  if (fails()) return -1;
  ssize_t done = real(descriptor, data, size, offset);
  if (done > 0) note("write", path, "", offset, data, done);
  return done;
}
ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset) { return pwrite64(descriptor, data, size, offset); }
int ftruncate64(int descriptor, off64_t size) {
  REAL(int, ftruncate64, int, off64_t);
  char path[PATH_MAX];
  if (!folder[0] || !below(of(descriptor, path))) return real(descriptor, size);
  if (fails()) return -1;
  int done = real(descriptor, size);
  if (!done) note("truncate", path, "", size, 0, 0);
  return done;
}
int ftruncate(int descriptor, off_t size) { return ftruncate64(descriptor, size); }
static int synced(int descriptor, int number) {
  char path[PATH_MAX];
  if (!folder[0] || !below(of(descriptor, path))) return syscall(number, descriptor);
  if (fails()) return -1;
  int done = syscall(number, descriptor);
  if (!done) note("sync", path, "", 0, 0, 0);
  return done;
}
int fsync(int descriptor) { return synced(descriptor, SYS_fsync); }
int fdatasync(int descriptor) { return synced(descriptor, SYS_fdatasync); }
int rename(const char *from, const char *to) {
  REAL(int, rename, const char *, const char *);
  char one[PATH_MAX], other[PATH_MAX];
  absolute(from, one); absolute(to, other);
  if (!below(one)) return real(from, to);
  if (fails()) return -1;
  int done = real(from, to);
  if (!done) note("rename", one, other, 0, 0, 0);
  return done;
}
int unlink(const char *name) {
  REAL(int, unlink, const char *);
  char path[PATH_MAX];
  absolute(name, path);
  int done = real(name); /* never fails: cleaning up is what is left on a full disk */
  if (!done && below(path)) note("unlink", path, "", 0, 0, 0);
  return done;
}
int mkdir(const char *name, mode_t mode) {
  REAL(int, mkdir, const char *, mode_t);
  char path[PATH_MAX];
  absolute(name, path);
  if (!below(path)) return real(name, mode);
  if (fails()) return -1;
  int done = real(name, mode);
  if (!done) note("mkdir", path, "", 0, 0, 0);
  return done;
}
static int opened(const char *name, int flags, mode_t mode) {
  char path[PATH_MAX];
  if (!(flags & (O_CREAT | O_TRUNC))) return syscall(SYS_openat, AT_FDCWD, name, flags, mode);
  absolute(name, path);
  if (!below(path)) return syscall(SYS_openat, AT_FDCWD, name, flags, mode);
  struct stat known;
  int there = !stat(name, &known);
  if (!there && fails()) return -1;
  int descriptor = syscall(SYS_openat, AT_FDCWD, name, flags, mode);
  if (descriptor >= 0 && (!there || flags & O_TRUNC)) note("create", path, "", 0, 0, 0);
  return descriptor;
}
#define MODE mode_t mode = 0; if (flags & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }
int open(const char *name, int flags, ...) { MODE return opened(name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE return opened(name, flags, mode); }
