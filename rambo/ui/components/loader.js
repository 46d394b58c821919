// Streamlit sends a component's script again with every message, so this part is short: it fetches
// the real one (plot.js, named by its content) once per page and hands every message on to it.

const modules = (window.__ramboModules ??= new Map());

/** Return the text of a gzip file of ours; an address names its content, so any cached copy is right. */
async function unpack(url) {
  let response = await fetch(url, { cache: "force-cache" });
  if (!response.ok) response = await fetch(url, { cache: "reload" });
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return new Response(response.body.pipeThrough(new DecompressionStream("gzip"))).text();
}

export default async function (component) {
  const url = component.data.module;
  if (!modules.has(url)) {
    const ready = unpack(url).then(
      (text) => import(URL.createObjectURL(new Blob([text], { type: "text/javascript" }))),
    );
    ready.catch(() => modules.delete(url)); // the next message tries again
    modules.set(url, ready);
  }
  return (await modules.get(url)).default(component, unpack);
}
