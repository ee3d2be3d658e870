// Builds the TypeScript face: ts/ to dist/ (ESM and CommonJS, and the command line), its types to index.d.ts, and the shape of policies to
// policy.schema.json. With --check it writes neither of those two, and fails if they are not what ts/ gives.

import { spawnSync } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { rollup } from 'rollup'
import { dts } from 'rollup-plugin-dts'
import { policySchema } from './policy-schema.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const BANNER = '// Generated from ts/ by scripts/build-ts.mjs. Do not edit: change ts/ and build again.\n\n'

function checkTypes() {
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc')
  const { status } = spawnSync(process.execPath, [tsc, '--noEmit', '-p', root], { stdio: 'inherit' })
  if (status !== 0) process.exit(1)
}

async function bundle() {
  const common = {
    absWorkingDir: root,
    entryPoints: ['ts/index.ts'],
    bundle: true,
    platform: 'node',
    target: 'node20',
    packages: 'external',
    external: ['../native.cjs'],
    sourcemap: true,
    sourcesContent: false,
    logLevel: 'warning',
    logLimit: 0,
  }
  await Promise.all([
    build({ ...common, format: 'esm', outfile: 'dist/index.js' }),
    build({
      ...common,
      entryPoints: ['ts/cli.ts'],
      format: 'esm',
      outfile: 'dist/cli.js',
      banner: { js: '#!/usr/bin/env node' },
    }),
    build({
      ...common,
      format: 'cjs',
      outfile: 'dist/index.cjs',
      // CommonJS has no import.meta; createRequire takes a path as well as a URL.
      define: { 'import.meta.url': '__filename' },
    }),
  ])
}

/** The public types in one file. */
async function rollUpTypes() {
  const bundled = await rollup({
    input: `${root}ts/index.ts`,
    external: /^node:/,
    plugins: [dts({ tsconfig: `${root}tsconfig.json`, compilerOptions: { noEmit: false } })],
    onwarn: (warning) => {
      throw new Error(`rolling up types: ${warning.message}`)
    },
  })
  const { output } = await bundled.generate({ format: 'es' })
  await bundled.close()
  return BANNER + output[0].code
}

await mkdir(new URL('../dist/', import.meta.url), { recursive: true })
await bundle()
const code = await rollUpTypes()
for (const [name, text] of [
  ['index.d.ts', code],
  ['policy.schema.json', await policySchema()],
]) {
  const file = new URL(`../${name}`, import.meta.url)
  if (!process.argv.includes('--check')) {
    await writeFile(file, text)
  } else if ((await readFile(file, 'utf8').catch(() => '')) !== text) {
    console.error(`${name} is not what ts/ gives: run \`npm run build:ts\` and commit it`)
    process.exit(1)
  }
}
await writeFile(new URL('../dist/index.d.cts', import.meta.url), code)
// Last, because tests and examples see the types of index.d.ts.
checkTypes()
