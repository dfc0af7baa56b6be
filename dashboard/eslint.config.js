import importX from 'eslint-plugin-import-x';
import reactHooks from 'eslint-plugin-react-hooks';
import { readdirSync } from 'node:fs';
import tseslint from 'typescript-eslint';

const features = readdirSync(new URL('./src/features', import.meta.url));

export default tseslint.config(
  { ignores: ['dist', 'node_modules', 'public', 'src/api/schema.d.ts'] },
  {
    files: ['src/**/*.{ts,tsx}'],
    extends: [...tseslint.configs.strict],
    plugins: { import: importX, 'react-hooks': reactHooks },
    settings: { 'import-x/resolver-next': [aliasResolver()] },
    rules: {
      ...reactHooks.configs.recommended.rules,
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { ignoreRestSiblings: true, argsIgnorePattern: '^_' }],
      // Only matters to the React Compiler, which is not used.
      'react-hooks/incompatible-library': 'off',
      'no-console': 'error',
      eqeqeq: 'error',
      'import/no-cycle': 'error',
      // Shared code knows no feature, a feature knows no other feature, and only the app knows them all.
      'import/no-restricted-paths': [
        'error',
        {
          zones: [
            { target: ['./src/lib', './src/components', './src/api'], from: ['./src/features', './src/app'] },
            { target: './src/features', from: './src/app' },
            { target: ['./src/lib', './src/api'], from: './src/components' },
            ...features.map((name) => ({
              target: `./src/features/${name}`,
              from: './src/features',
              except: [`./${name}`],
            })),
          ],
        },
      ],
    },
  },
);

/** Resolves '@/…' and relative imports to files, which is all that the rules above need. */
function aliasResolver() {
  return importX.createNodeResolver({
    extensions: ['.ts', '.tsx', '.d.ts', '.js', '.mjs', '.css'],
    tsconfig: { configFile: new URL('./tsconfig.json', import.meta.url).pathname },
  });
}
