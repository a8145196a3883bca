// Passkeys need a script. Forms marked data-passkey are shown where the browser knows passkeys; each asks our own endpoint
// for options, has the browser answer them, and is sent like any other form.
const able = Boolean(globalThis.PublicKeyCredential && navigator.credentials);
const forms = [...document.querySelectorAll("form[data-passkey]")];
const RENEWED = 4 * 60 * 1000; // a challenge is good for five minutes
let waiting; // the request that waits in the address field's autofill
let asking; // the options it is fetching

// -- for browsers without parse…FromJSON and toJSON

const bytes = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
const spelled = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const described = (list) => (list ?? []).map((one) => ({ ...one, id: bytes(one.id) }));

function parsed(kind, given) {
  const native = kind === "create" ? "parseCreationOptionsFromJSON" : "parseRequestOptionsFromJSON";
  if (PublicKeyCredential[native]) return PublicKeyCredential[native](given);
  const made = { ...given, challenge: bytes(given.challenge) };
  if (kind === "get") return { ...made, allowCredentials: described(given.allowCredentials) };
  const user = { ...given.user, id: bytes(given.user.id) };
  return { ...made, user, excludeCredentials: described(given.excludeCredentials) };
}

function answered(credential) {
  if (credential.toJSON) return credential.toJSON();
  const { id, type, rawId, response, authenticatorAttachment } = credential;
  const told = { clientDataJSON: spelled(response.clientDataJSON) };
  for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"])
    if (response[name]) told[name] = spelled(response[name]);
  if (response.getTransports) told.transports = response.getTransports();
  const clientExtensionResults = credential.getClientExtensionResults();
  return { id, type, rawId: spelled(rawId), response: told, authenticatorAttachment, clientExtensionResults };
}

// -- asking

async function options(form, decision, signal) {
  const body = new URLSearchParams({ csrf_token: form.elements.csrf_token.value });
  if (decision) body.set("decision", decision);
  const answer = await fetch(form.dataset.options, { method: "POST", body, signal, redirect: "manual" });
  if (!answer.ok) throw new Error(answer.status);
  const told = await answer.json();
  // The sign-in cookie may be another one now, and a token is bound to it.
  for (const field of document.querySelectorAll("input[name=csrf_token]")) field.value = told.csrf_token;
  return parsed(form.dataset.passkey, told.publicKey);
}

function send(form, credential) {
  form.elements.answer.value = JSON.stringify(answered(credential));
  form.submit();
}

function say(form, code) {
  document.querySelector("[role=alert]")?.remove();
  const alert = document.createElement("p");
  alert.setAttribute("role", "alert");
  alert.tabIndex = -1;
  alert.dataset.code = code;
  alert.textContent = form.dataset[code === "unavailable" ? "down" : "unused"];
  document.querySelector(".card > header").after(alert);
  alert.focus();
}

async function ask(form, button) {
  asking?.abort();
  waiting?.abort();
  button.disabled = true;
  let given;
  try {
    given = await options(form, form.dataset.decision);
  } catch (refused) {
    // Over, or a fresh proof is asked for: the page itself knows.
    if (["0", "401"].includes(refused.message)) location.reload();
    else say(form, "unavailable");
    button.disabled = false;
    return;
  }
  try {
    send(form, await navigator.credentials[form.dataset.passkey]({ publicKey: given }));
  } catch (refused) {
    say(form, refused.name === "InvalidStateError" ? "passkey_known" : "passkey_unused");
    button.disabled = false;
  }
}

// The address field offers passkeys while one types; choosing one signs in.
async function offer(form) {
  if (!(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
  const mine = new AbortController();
  waiting = asking = mine;
  try {
    const publicKey = await options(form, "autofill", mine.signal);
    asking = undefined;
    const later = setTimeout(() => { mine.abort(); offer(form); }, RENEWED);
    mine.signal.addEventListener("abort", () => clearTimeout(later));
    const credential = await navigator.credentials.get({ publicKey, mediation: "conditional", signal: mine.signal });
    clearTimeout(later);
    if (credential) send(form, credential);
  } catch { /* nothing was chosen: the page stays as it is */ }
}

if (able) {
  for (const form of forms) {
    form.hidden = false;
    const button = form.querySelector("button");
    button.addEventListener("click", () => ask(form, button));
  }
  for (const shown of document.querySelectorAll("[data-able]")) shown.hidden = false;
  for (const button of document.querySelectorAll("[data-able-quiet]")) button.classList.add("quiet");
  const first = forms.find((form) => "autofill" in form.dataset);
  // A form that is sent meanwhile must find the sign-in cookie it came with.
  addEventListener("submit", () => asking?.abort());
  if (first) offer(first);
} else {
  for (const shown of document.querySelectorAll("[data-unable]")) shown.hidden = false;
}
