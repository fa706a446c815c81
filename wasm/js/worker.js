// The worker that a page's `open` starts: the database lives here, because OPFS's synchronous handles do.

import { Core } from "./core.js";
import { OrreryError } from "./error.js";

let core = null;

function plain(error) {
  return error instanceof OrreryError ? error.toPlain() : new OrreryError("XX000", String(error?.stack ?? error)).toPlain();
}

self.onmessage = async ({ data: { id, method, args } }) => {
  try {
    let value;
    if (method === "open") core = await Core.open(...args);
    else value = await core.call(method, args);
    self.postMessage({ id, value });
  } catch (error) {
    self.postMessage({ id, error: plain(error) });
  }
};
