/** `tollgate explain POLICY TENANT`: which limits a request meets. */

import { enforceRateLimitPolicy } from '../enforce.ts'
import type { CommandLine } from './command-line.ts'
import { Exit, usageError, type ExitCode } from './exit.ts'
import { policyOptions, readPolicy } from './policy-file.ts'
import type { Terminal } from './terminal.ts'

export async function explain({ operands, options }: CommandLine, terminal: Terminal): Promise<ExitCode> {
  const [file, tenant] = operands
  if (tenant === undefined)
    throw usageError('say which policy and which tenant: tollgate explain POLICY TENANT')
  // For its faults, with the name of the file.
  await readPolicy(file, options['unknown-tenant'])
  const limiter = await enforceRateLimitPolicy(await policyOptions(file, options['unknown-tenant']))
  try {
    const { method, path, ip, user } = options
    const text = limiter.explain(tenant, { request: { method, path, ip, user } })
    terminal.json({ tenant, explanation: text })
    terminal.line(text)
    return Exit.done
  } finally {
    await limiter.close()
  }
}
