import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["**/dist/**", "**/node_modules/**"] },
  {
    files: ["**/*.ts"],
    extends: [...tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      // The provider's shim must be plain require calls inside method bodies: see resources/shim.ts.
      "@typescript-eslint/no-require-imports": ["error", { allow: ["pulumi-dovecot-postfix/runtime"] }],
    },
  },
);
