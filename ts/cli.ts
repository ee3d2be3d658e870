/**
 * The command line `tollgate`. Reading order: cli/command-line.ts (what may be said), cli/main.ts (which command does it), then one
 * file for each command; cli/observer.ts is how they take part in a fleet, cli/terminal.ts how they print.
 */

import { run } from './cli/main.ts'

process.exitCode = await run(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
})
// What is still under way in the background is nobody's any more.
process.stdout.write('', () => process.exit())
