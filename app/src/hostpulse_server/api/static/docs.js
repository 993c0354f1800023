// Starts Swagger UI; a file of its own because the page's policy allows no inline script.
window.addEventListener("load", () => {
  window.SwaggerUIBundle({
    url: document.documentElement.dataset.openapi,
    dom_id: "#swagger-ui",
    deepLinking: true,
    validatorUrl: null,
    persistAuthorization: false,
  });
});
