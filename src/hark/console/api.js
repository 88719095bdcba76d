// Requests to the server that this page came from, and the credential for them. Rule: the API key lives in this module's
// memory alone, and is sent only to mint; everything else is done with the short-lived secrets that it mints.

/** Why a request did not work. `code` is the server's, or "unreachable". */
export class ApiError extends Error {
  constructor(message, { status = 0, code = null, param = null, retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { status, code, param, retryAfter });
  }

  get refusesCredential() {
    return this.status === 401 && this.code !== "origin_not_allowed";
  }
}

export const UNREACHABLE = "The server does not answer. Is it still running?";

/** The server's URL for a path; the page may stand below a proxy's folder. */
export const here = (path) => new URL(path, document.baseURI).href;

const PATIENCE_MS = 10_000; // for a secret
const MARGIN_MS = 60_000; // A secret that ends sooner than this is not used any more.
let key = "";
let secret = null; // {value, expires_at, session}: the newest

export const hasKey = () => key !== "";
export function setKey(value) {
  key = value.trim();
  secret = null;
}

/** A client secret that carries `session`: the one at hand, or a new one if that one is old, for other settings, or if
 *  one is wanted `anew`. */
export async function secretFor(session, { anew = false } = {}) {
  const wanted = JSON.stringify(session);
  if (anew || !secret || secret.session !== wanted || secret.expires_at * 1000 - Date.now() < MARGIN_MS) {
    const headers = { "content-type": "application/json" };
    if (key) headers.authorization = `Bearer ${key}`;
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const answer = await request("v1/realtime/client_secrets", { method: "POST", headers, signal, body: JSON.stringify({ session }) });
    secret = { ...(await answer.json()), session: wanted };
  }
  return secret.value;
}

/** A secret for anything but a session: any that still counts. */
export async function anySecret() {
  return secret && secret.expires_at * 1000 - Date.now() > MARGIN_MS ? secret.value : secretFor({ type: "transcription" });
}

/** Where things are, and whether a credential is needed. */
export async function index() {
  return (await request("", { headers: { accept: "application/json" } })).json();
}

export async function models() {
  const answer = await request("v1/models", { headers: { authorization: `Bearer ${await anySecret()}` } });
  return (await answer.json()).data;
}

/** The answer if it is a good one. Throws ApiError. */
export async function request(path, options) {
  let answer;
  try {
    answer = await fetch(here(path), { cache: "no-store", credentials: "omit", ...options });
  } catch {
    throw new ApiError(UNREACHABLE, { code: "unreachable" });
  }
  if (answer.ok) return answer;
  throw refusal(answer.status, await answer.text(), answer.headers.get("retry-after"));
}

/** What an answer that is no success says. */
export function refusal(status, body, retryAfter = null) {
  let fault = {};
  try {
    fault = JSON.parse(body).error ?? {};
  } catch {
    // No envelope: a proxy answered.
  }
  const message = fault.message || `The server answered ${status}.`;
  return new ApiError(message, { status, code: fault.code, param: fault.param, retryAfter: retryAfter && Number(retryAfter) });
}
