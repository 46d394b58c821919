"""The tables of `collection.sqlite`, and what a row of each is in Python.

Rows are only ever added. Each carries the number of the change that brought it, and a change
counts from the moment its version stands in `versions`: an import that dies half way leaves rows
that nobody reads. So each version can be read again exactly as it was.
"""

FORMAT = 1  # of the file; raise it with a change that an older program cannot read
SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT, crc INTEGER) WITHOUT ROWID;
CREATE TABLE versions (
    version INTEGER PRIMARY KEY, change INTEGER UNIQUE, kind TEXT, note TEXT, time REAL,
    undoes INTEGER, crc INTEGER);
CREATE TABLE sources (source INTEGER PRIMARY KEY, kind TEXT, place TEXT, UNIQUE (kind, place));
CREATE TABLE images (
    image INTEGER PRIMARY KEY, id TEXT UNIQUE, width INTEGER, height INTEGER, mode TEXT,
    grey INTEGER, brightness REAL, contrast REAL, pixels_crc INTEGER,
    packed_at INTEGER, packed_bytes INTEGER, change INTEGER, crc INTEGER);
CREATE TABLE smalls (image INTEGER PRIMARY KEY, small BLOB);
CREATE TABLE files (
    file INTEGER PRIMARY KEY, source INTEGER, name TEXT, path BLOB, stamp TEXT,
    image INTEGER, reason TEXT, change INTEGER, crc INTEGER);
CREATE INDEX files_by_image ON files (image);
CREATE TABLE labels (
    entry INTEGER PRIMARY KEY, image INTEGER, label TEXT, origin TEXT, answer TEXT, time REAL,
    run TEXT, annotator TEXT, standing TEXT, change INTEGER, crc INTEGER);
CREATE INDEX labels_by_image ON labels (image);
CREATE TABLE traits (
    entry INTEGER PRIMARY KEY, image INTEGER, trait TEXT, value TEXT, change INTEGER, crc INTEGER);
CREATE TABLE remarks (
    entry INTEGER PRIMARY KEY, topic TEXT, text TEXT, change INTEGER, crc INTEGER);
CREATE TABLE clusters (change INTEGER PRIMARY KEY, numbers BLOB, crc INTEGER);
"""
# Of the tables without a column for them. Collections of older versions get it with their next change.
SEALS = """
CREATE TABLE IF NOT EXISTS seals (
    part TEXT, number INTEGER, crc INTEGER, PRIMARY KEY (part, number)) WITHOUT ROWID
"""
