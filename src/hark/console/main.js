// The page's beginning: what the controls do, and what is said when something stands in the way.
import { hasKey, index, models, setKey, anySecret } from "./api.js";
import { wireCode, refreshCode } from "./code.js";
import { $, tell } from "./dom.js";
import { wireEvents } from "./events.js";
import { wireFiles } from "./files.js";
import { Listening } from "./listening.js";
import { Meter } from "./meter.js";
import { clear, clearAll, microphoneProblem, notice, serverProblem } from "./notices.js";
import * as settings from "./settings.js";
import { forgetAll } from "./transcript.js";

const NARROW = "(max-width: 56rem)";
const STATES = {
  idle: "Not listening",
  starting: "Connecting",
  listening: "Listening",
  reconnecting: "Connection lost, trying again",
  stopping: "Finishing the last turn",
};
const MICROPHONE_ERRORS = new Set(["InsecureContext", "NotAllowedError", "NotFoundError", "OverconstrainedError", "NotReadableError", "AbortError"]);

const meter = new Meter();
const listening = new Listening(meter, {
  onState: showState, onProblem: explain, onRefused: refused, onApplied: applied, onLost: lost, onAnew: anew,
});
let keyWanted = false; // by this server, as it told
let afterKey = null; // what to do once a key has been taken

function showState(state) {
  const running = state !== "idle";
  $("status").textContent = STATES[state];
  $("status").dataset.state = state;
  $("toggle").textContent = running ? "Stop" : "Start listening";
  $("toggle").classList.toggle("on", running);
  $("toggle").disabled = state === "stopping";
  $("transport").disabled = running;
  $("commit").hidden = !(state === "listening" && settings.read().detection === "none");
  if (state === "idle") clear("lost");
  if (state === "listening") {
    clearAll();
    settings.listDevices();
  }
}

function explain(error) {
  const again = { label: "Try again", run: () => start() };
  if (MICROPHONE_ERRORS.has(error.name)) notice("microphone", microphoneProblem(error), error.name === "InsecureContext" ? {} : { action: again });
  else if (error.refusesCredential) askForKey(hasKey() ? serverProblem(error) : "", () => start());
  else notice("session", serverProblem(error), { action: again });
}

function refused(fault) {
  const ofSettings = fault.param?.startsWith("session");
  if (ofSettings) {
    $("applied").textContent = "Refused";
    $("applied").className = "bad";
  }
  notice(ofSettings ? "refused" : "event", fault.message, { calm: fault.code === "input_audio_buffer_commit_empty" });
}

function applied() {
  clear("refused");
  $("applied").className = "";
  $("applied").textContent = "Applied";
  setTimeout(() => { $("applied").textContent = ""; }, 2_000);
}

function lost(kept) {
  const meanwhile = kept ? "Go on speaking: what you say is kept, and sent once the server is back."
    : "What is said until it is back is not heard.";
  notice("lost", `The connection is lost. ${meanwhile}`, { calm: true, action: { label: "Try now", run: () => listening.retry() } });
}

function anew(why) {
  const cause = why === "restarted" ? "The server was restarted." : "The server no longer has the session of before.";
  notice("anew", `${cause} All that stands below is kept, and you are heard in a new recording.`, { calm: true });
}

function start() {
  clearAll();
  if (keyWanted && !hasKey()) askForKey("", () => start());
  else listening.start();
}

// ---- the key ---------------------------------------------------------------------------------------------------------

function askForKey(problem, then) {
  afterKey = then;
  $("key-error").textContent = problem;
  $("key").value = "";
  if (!$("key-dialog").open) $("key-dialog").showModal();
  $("key").focus();
}

async function takeKey(event) {
  event.preventDefault();
  setKey($("key").value);
  try {
    await anySecret();
  } catch (error) {
    setKey("");
    $("key-error").textContent = serverProblem(error);
    $("key").select();
    return;
  }
  $("key").value = "";
  $("key-dialog").close();
  showKey();
  await loadModels();
  afterKey?.();
  afterKey = null;
}

function showKey() {
  $("key-field").hidden = !keyWanted;
  $("key-state").textContent = hasKey() ? "in this tab's memory" : "none yet";
  $("key-button").textContent = hasKey() ? "Forget" : "Enter";
  if (hasKey()) clear("key");
}

function keyButton() {
  if (!hasKey()) return askForKey("", null);
  setKey("");
  showKey();
  return tell("The key is forgotten.");
}

// ---- the server ------------------------------------------------------------------------------------------------------

async function loadModels() {
  try {
    settings.listModels(await models());
    refreshCode(settings.read(), keyWanted);
  } catch (error) {
    if (error.refusesCredential) setKey("");
    notice("server", serverProblem(error), { action: { label: "Try again", run: boot } });
  }
}

async function boot() {
  clear("server");
  try {
    keyWanted = (await index()).credential_required;
  } catch (error) {
    notice("server", serverProblem(error), { action: { label: "Try again", run: boot } });
    return;
  }
  showKey();
  refreshCode(settings.read(), keyWanted);
  if (keyWanted && !hasKey()) {
    notice("key", "This server asks for a key: to listen, to transcribe files and to list its models.", {
      calm: true, action: { label: "Enter key", run: () => askForKey("", null) },
    });
  } else await loadModels();
}

function fileProblem(error, file, again) {
  if (error.code === "cancelled") return;
  if (error.refusesCredential) askForKey(hasKey() ? serverProblem(error) : "", again);
  else notice(`file ${file.name}`, `${file.name}: ${serverProblem(error)}`, { action: { label: "Try again", run: again } });
}

// ---- controls --------------------------------------------------------------------------------------------------------

let later = 0;
function changed(event) {
  const now = settings.refresh();
  meter.bounds = settings.bounds(now);
  meter.draw();
  refreshCode(now, keyWanted);
  if (event?.type !== "change") return; // a slider that is still being moved
  showState(listening.state === "listening" ? "listening" : listening.state);
  if (event.target.name === "device") listening.changeDevice(now.device);
  else if (!settings.isValid()) $("form").reportValidity();
  else if (event.target.name !== "transport") {
    clearTimeout(later);
    later = setTimeout(() => listening.update(), 150);
  }
}

$("toggle").addEventListener("click", () => (listening.state === "idle" ? start() : listening.stop()));
$("commit").addEventListener("click", () => listening.commit());
$("forget").addEventListener("click", () => {
  forgetAll(listening.connection?.recording);
  tell("The transcript is cleared.");
});
$("form").addEventListener("input", changed);
$("form").addEventListener("change", changed);
$("form").addEventListener("submit", (event) => event.preventDefault());
$("key-form").addEventListener("submit", takeKey);
$("key-cancel").addEventListener("click", () => $("key-dialog").close());
$("key-button").addEventListener("click", keyButton);
navigator.mediaDevices?.addEventListener?.("devicechange", settings.listDevices);
addEventListener("online", () => listening.retry());
if (matchMedia(NARROW).matches) $("settings").open = false;

settings.listLanguages();
settings.listDevices();
wireEvents();
wireFiles(fileProblem);
wireCode();
changed();
if (!isSecureContext) notice("microphone", microphoneProblem({ name: "InsecureContext" }), { calm: true });
boot();
