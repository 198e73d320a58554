// A view in the page's address, "#explore&aim=worst&p=spa_Latn:0.4,...": lists are keyed by language, so that a page made again with
// another order still reads them; what cannot be read is left out.
const short = (x) => String(Number(x.toPrecision(9)));

// tag:value of every entry that differs from the usual one
function listText(tags, values, usual = null) {
  return tags.map((tag, i) => [tag, values[i], usual && usual[i]]).filter(([, v, u]) => v !== u).map(([tag, v]) => `${encodeURIComponent(tag)}:${short(v)}`).join(",");
}

// the values of such a list, written into others
function listValues(text, tags, into) {
  for (const item of (text ?? "").split(",").filter(Boolean)) {
    const cut = item.lastIndexOf(":"), at = tags.indexOf(decodeURIComponent(item.slice(0, cut))), v = Number(item.slice(cut + 1));
    if (at >= 0 && Number.isFinite(v) && v >= 0) into[at] = v;
  }
  return into;
}

const writeAddress = (parts) => `#explore&${Object.entries(parts).filter(([, text]) => text).map(([k, text]) => `${k}=${text}`).join("&")}`;

function readAddress() {
  if (!location.hash.startsWith("#explore&")) return null;
  return Object.fromEntries(location.hash.slice(9).split("&").map((part) => [part.slice(0, part.indexOf("=")), part.slice(part.indexOf("=") + 1)]));
}
