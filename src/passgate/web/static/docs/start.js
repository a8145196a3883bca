// Starts the vendored viewer on /docs. Addresses are told from this file's own, so that a prefix in front does no harm.

const viewer = globalThis.SwaggerUIBundle; // a classic script puts it there, before this module runs

viewer({
  url: new URL("../openapi.json", import.meta.url).href,
  dom_id: "#endpoints",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  // A token typed into Authorize is forgotten with the page; nothing is sent to anybody but this server.
  persistAuthorization: false,
  queryConfigEnabled: false,
  validatorUrl: null,
});
