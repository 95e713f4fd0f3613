// Preloaded into every process of a test's engine: notes in the file LOADED which packages are required.
const { appendFileSync } = require("node:fs");
const Module = require("node:module");

const load = Module._load;
Module._load = function (request, ...rest) {
  if (/^[a-z@]/.test(request)) appendFileSync(process.env.LOADED, `${request}\n`);
  return load.call(this, request, ...rest);
};
