exports.handler = __f0;

var __provider = {check: __f1, diff: __f2, create: __f3, read: __f4, update: __f5, delete: __f6};

function __f1(__0, __1) {
  return (function() {
    with({ this: undefined, arguments: undefined }) {

return async function /*check*/(olds, news) {
        return require("pulumi-dovecot-postfix/runtime").check(olds, news);
    };

    }
  }).apply(undefined, undefined).apply(this, arguments);
}

function __f2(__0, __1, __2) {
  return (function() {
    with({ this: undefined, arguments: undefined }) {

return async function /*diff*/(id, olds, news) {
        return require("pulumi-dovecot-postfix/runtime").diff(id, olds, news);
    };

    }
  }).apply(undefined, undefined).apply(this, arguments);
}

function __f3(__0) {
  return (function() {
    with({ this: undefined, arguments: undefined }) {

return async function /*create*/(inputs) {
        return require("pulumi-dovecot-postfix/runtime").create(inputs);
    };

    }
  }).apply(undefined, undefined).apply(this, arguments);
}

function __f4(__0, __1) {
  return (function() {
    with({ this: undefined, arguments: undefined }) {

return async function /*read*/(id, props) {
        return require("pulumi-dovecot-postfix/runtime").read(id, props);
    };

    }
  }).apply(undefined, undefined).apply(this, arguments);
}

function __f5(__0, __1, __2) {
  return (function() {
    with({ this: undefined, arguments: undefined }) {

return async function /*update*/(id, olds, news) {
        return require("pulumi-dovecot-postfix/runtime").update(id, olds, news);
    };

    }
  }).apply(undefined, undefined).apply(this, arguments);
}

function __f6(__0, __1) {
  return (function() {
    with({ this: undefined, arguments: undefined }) {

return async function /*delete*/(id, props) {
        return require("pulumi-dovecot-postfix/runtime").remove(id, props);
    };

    }
  }).apply(undefined, undefined).apply(this, arguments);
}

function __f0() {
  return (function() {
    with({ provider: __provider, this: undefined, arguments: undefined }) {

return () => provider;

    }
  }).apply(undefined, undefined).apply(this, arguments);
}
