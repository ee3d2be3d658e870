/** The version of this package. */

import { createRequire } from 'node:module'

/** As package.json has it, which is one directory above this file and above what it is built into. */
export function packageVersion(): string {
  return (createRequire(import.meta.url)('../package.json') as { version: string }).version
}
