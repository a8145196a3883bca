// What the page asks of others: the server (AuthAPI), the authenticator (WebAuthnClient), and this tab's storage
// (TokenManager). Not here: anything that is seen.

const ANSWER_WITHIN = 20_000;

/** Why something did not happen. `fields`: names of what was typed wrong; `until`: when to try again; `kind` and `rp`: the
 * ceremony and whose it was. */
export class Refused extends Error {
  constructor(code, { fields = [], until, kind, rp } = {}) {
    super(code);
    Object.assign(this, { code, fields, until, kind, rp });
  }
}

// -- talking to the server

const CODES = { 422: "invalid", 429: "throttled", 503: "unavailable" };

/** Each method answers the JSON of the server, or throws Refused. */
export class AuthAPI {
  beginRegistration(person, signal) {
    const codes = { 400: "registration_refused", 409: "registration_refused" };
    return this.#send("/register/begin", { body: person, signal, codes });
  }

  completeRegistration(email, credential) {
    const codes = { 400: "registration_refused", 409: "registration_refused" };
    return this.#send("/register/complete", { body: { email, credential }, codes });
  }

  beginLogin(email, signal) {
    return this.#send("/login/begin", { body: { email }, signal, codes: { 401: "login_refused" } });
  }

  completeLogin(email, assertion) {
    const codes = { 400: "login_outdated", 401: "login_refused" };
    return this.#send("/login/complete", { body: { email, assertion }, codes });
  }

  user(id, token) {
    const codes = { 401: "session_refused", 403: "session_refused", 404: "session_refused" };
    return this.#send(`/users/${encodeURIComponent(id)}`, { token, codes });
  }

  /** End the login that the token is of, also for whoever else has it. Nobody waits for the answer. */
  end(token) {
    const headers = { authorization: `Bearer ${token}` };
    fetch("/auth/api/v1/session", { method: "DELETE", headers, keepalive: true }).catch(() => {});
  }

  async #send(path, { body, token, signal, codes }) {
    const headers = { accept: "application/json" };
    if (body) headers["content-type"] = "application/json";
    if (token) headers.authorization = `Bearer ${token}`;
    const late = AbortSignal.timeout(ANSWER_WITHIN);
    let answer, told;
    try {
      answer = await fetch(path, {
        method: body ? "POST" : "GET",
        headers,
        body: body && JSON.stringify(body),
        signal: signal ? AbortSignal.any([signal, late]) : late,
      });
      told = await answer.json().catch(() => null);
    } catch {
      throw new Refused(signal?.aborted ? "cancelled" : "offline");
    }
    if (signal?.aborted) throw new Refused("cancelled"); // perhaps in the middle of the body
    if (answer.ok && told) return told;
    const fields = Array.isArray(told?.detail) ? told.detail.map((one) => String(one.loc?.at(-1))) : [];
    const until = instant(answer.headers.get("retry-after"));
    throw new Refused({ ...CODES, ...codes }[answer.status] ?? "fault", { fields, until });
  }
}

/** When Retry-After ends: it is seconds, or a date. */
function instant(text) {
  const at = Number(text) > 0 ? Date.now() + Number(text) * 1000 : Date.parse(text);
  return at > Date.now() ? new Date(at) : undefined;
}

// -- the ceremonies

const bytes = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
const base64url = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

const ASKING = {
  AbortError: "cancelled",
  NotAllowedError: "cancelled",
  InvalidStateError: "passkey_known",
  SecurityError: "wrong_address",
  NotSupportedError: "unsuitable",
  ConstraintError: "unsuitable",
};

/** Both ceremonies: the server's options, the authenticator's answer, and the server's verdict. `answered` is called
 * between the last two: from then on nothing can be cancelled. */
export class WebAuthnClient {
  #api;

  constructor(api) {
    this.#api = api;
  }

  static isSupported() {
    return Boolean(globalThis.PublicKeyCredential && navigator.credentials);
  }

  static async isPlatformAuthenticatorAvailable() {
    if (!WebAuthnClient.isSupported()) return false;
    return PublicKeyCredential.isUserVerifyingPlatformAuthenticatorAvailable().catch(() => false);
  }

  async register(person, { signal, answered } = {}) {
    if (!WebAuthnClient.isSupported()) throw new Refused("unsupported");
    const { publicKey } = await this.#api.beginRegistration(person, signal);
    const credential = await this.#ask("create", publicKey, signal);
    answered?.();
    return this.#api.completeRegistration(person.email, credential);
  }

  async login(email, { signal, answered } = {}) {
    if (!WebAuthnClient.isSupported()) throw new Refused("unsupported");
    const { publicKey } = await this.#api.beginLogin(email, signal);
    const assertion = await this.#ask("get", publicKey, signal);
    answered?.();
    return this.#api.completeLogin(email, assertion);
  }

  async #ask(kind, options, signal) {
    try {
      const publicKey = WebAuthnClient.#parsed(kind, options);
      return WebAuthnClient.#asJSON(await navigator.credentials[kind]({ publicKey, signal }));
    } catch (error) {
      throw new Refused(ASKING[error.name] ?? "fault", { kind, rp: options.rp?.id ?? options.rpId });
    }
  }

  // By hand for browsers without parse…FromJSON and toJSON.

  static #parsed(kind, given) {
    const native = kind === "create" ? "parseCreationOptionsFromJSON" : "parseRequestOptionsFromJSON";
    if (PublicKeyCredential[native]) return PublicKeyCredential[native](given);
    const known = (list) => (list ?? []).map((one) => ({ ...one, id: bytes(one.id) }));
    const made = { ...given, challenge: bytes(given.challenge) };
    if (kind === "get") return { ...made, allowCredentials: known(given.allowCredentials) };
    return { ...made, user: { ...given.user, id: bytes(given.user.id) }, excludeCredentials: known(given.excludeCredentials) };
  }

  static #asJSON(credential) {
    if (credential.toJSON) return credential.toJSON();
    const { id, type, rawId, response, authenticatorAttachment } = credential;
    const answer = {};
    for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"])
      if (response[name]) answer[name] = base64url(response[name]);
    if (response.getTransports) answer.transports = response.getTransports();
    const clientExtensionResults = credential.getClientExtensionResults();
    return { id, type, rawId: base64url(rawId), response: answer, authenticatorAttachment, clientExtensionResults };
  }
}

// -- the token

/** The token and whose it is, in this tab's sessionStorage alone. */
export class TokenManager {
  static TOKEN = "webauthn_jwt";
  static USER_ID = "webauthn_user_id";
  static USER_DATA = "webauthn_user_data";

  save({ access_token: token, user }) {
    sessionStorage.setItem(TokenManager.TOKEN, token);
    sessionStorage.setItem(TokenManager.USER_ID, user.id);
    sessionStorage.setItem(TokenManager.USER_DATA, JSON.stringify(user));
  }

  clear() {
    for (const key of [TokenManager.TOKEN, TokenManager.USER_ID, TokenManager.USER_DATA]) sessionStorage.removeItem(key);
  }

  get token() {
    return sessionStorage.getItem(TokenManager.TOKEN);
  }

  get userId() {
    return sessionStorage.getItem(TokenManager.USER_ID);
  }

  get user() {
    try {
      return JSON.parse(sessionStorage.getItem(TokenManager.USER_DATA)) ?? {};
    } catch {
      return {};
    }
  }

  /** Whole seconds until the token expires; 0 without a token, or with one that cannot be read. */
  get secondsLeft() {
    try {
      const { exp } = JSON.parse(new TextDecoder().decode(bytes(this.token.split(".")[1])));
      return Math.max(0, Math.ceil(exp - Date.now() / 1000)) || 0;
    } catch {
      return 0;
    }
  }
}
