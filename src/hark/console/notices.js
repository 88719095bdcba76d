// What the page says when something stands in the way: what happened, and what to do about it. One notice for one cause.
import { $, make } from "./dom.js";

const shown = new Map();

/** `cause` names what it is about: a second notice for it takes the place of the first. */
export function notice(cause, message, { action, calm = false } = {}) {
  clear(cause);
  const element = make("div", { class: calm ? "notice calm" : "notice" }, make("p", { text: message }));
  if (action) element.append(make("button", { type: "button", text: action.label, onclick: action.run }));
  element.append(make("button", { type: "button", class: "quiet", text: "Dismiss", onclick: () => clear(cause) }));
  shown.set(cause, element);
  $(calm ? "calm" : "alarms").append(element); // screen readers are interrupted for alarms alone
}

export function clear(cause) {
  shown.get(cause)?.remove();
  shown.delete(cause);
}

export function clearAll() {
  for (const cause of [...shown.keys()]) clear(cause);
}

/** Why there is no microphone, in words of what to do. */
export function microphoneProblem(error) {
  if (error.name === "InsecureContext") {
    return "Browsers give a microphone only to pages over https or on the server's own machine. From another device, start "
      + "the server with hark serve --tls-self-signed and open its https address. Files can be transcribed here all the same.";
  }
  if (error.name === "NotAllowedError") {
    return "The browser may not use the microphone. Allow it for this page, by the icon beside the address or in the "
      + "system's privacy settings, and start again.";
  }
  if (error.name === "NotFoundError" || error.name === "OverconstrainedError") {
    return "There is no such microphone. Plug one in or choose another one in the settings, and start again.";
  }
  if (error.name === "NotReadableError") return "The microphone cannot be opened; another program may hold it. Close that one, and start again.";
  return `The microphone does not work: ${error.message || error.name}.`;
}

/** What an ApiError, or an `error` event that ended a session, means to who speaks here. */
export function serverProblem(error) {
  if (error.code === "rate_limit_exceeded") {
    const wait = error.retryAfter ? ` Try again in ${error.retryAfter} s.` : "";
    return `A limit of your key is reached. ${error.message}${wait}`;
  }
  if (error.code === "origin_not_allowed") return `The server refuses this page. ${error.message}`;
  if (error.status === 401) return `The server refuses the key. ${error.message}`;
  return error.message;
}
