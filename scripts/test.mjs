// Everything that has to hold, in the order in which it fails soonest: format, lint, Rust, build, drift, Node.
// `npm test -- lint rust` runs only the steps whose names contain one of the words.

import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { ensureRedisServer } from './redis-server.mjs'

// Properties are tried by the same cases each time, unless somebody wants others.
process.env['PROPTEST_RNG_SEED'] ??= '1'

const generated = ['native.cjs', 'native.d.cts', 'index.d.ts', 'policy.schema.json']

const nodeTests = () =>
  readdirSync('__test__')
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => `__test__/${name}`)

/** @type {{ name: string, run: () => boolean }[]} */
const steps = [
  { name: 'format: TypeScript', run: command('npx', 'prettier', '--check', '--log-level', 'warn', '.') },
  { name: 'format: Rust', run: command('cargo', 'fmt', '--all', '--check') },
  { name: 'lint: TypeScript', run: command('npx', 'oxlint', '--deny-warnings') },
  {
    name: 'lint: Rust',
    run: command(
      'cargo',
      'clippy',
      '--workspace',
      '--all-targets',
      '--locked',
      '--quiet',
      '--',
      '-D',
      'warnings',
    ),
  },
  { name: 'redis: a server for the rust and node tests', run: ensureRedisServer },
  {
    name: 'rust: tests of the workspace',
    run: command('cargo', 'test', '--workspace', '--locked', '--quiet'),
  },
  { name: 'rust: every schedule (loom)', run: command('npm', 'run', '--silent', 'test:loom') },
  { name: 'build, and drift of generated files', run: buildWithoutDrift },
  {
    name: 'node: tests over real HTTP',
    run: () => command('node', '--import', 'tsx', '--test', '--test-reporter=spec', ...nodeTests())(),
  },
]

const words = process.argv.slice(2)
const chosen = steps.filter(({ name }) => words.length === 0 || words.some((word) => name.includes(word)))
const failed = chosen.filter(({ name, run }) => {
  console.log(`\n── ${name}`)
  const start = performance.now()
  const passed = run()
  console.log(
    `── ${name}: ${passed ? 'passed' : 'FAILED'} in ${((performance.now() - start) / 1000).toFixed(1)} s`,
  )
  return !passed
})
console.log(`\n${chosen.length - failed.length} of ${chosen.length} steps passed`)
for (const { name } of failed) console.log(`failed: ${name}`)
process.exitCode = failed.length === 0 ? 0 : 1

function command(program, ...args) {
  return () => spawnSync(program, args, { stdio: 'inherit' }).status === 0
}

/** Builds; what is generated and committed must come out as it was. */
function buildWithoutDrift() {
  const read = () => generated.map((name) => readFileSync(name, 'utf8'))
  const before = read()
  if (!command('npm', 'run', '--silent', 'build')()) return false
  const drifted = generated.filter((_, index) => read()[index] !== before[index])
  for (const name of drifted) console.log(`${name} has changed: commit what the build made of it`)
  return drifted.length === 0
}
