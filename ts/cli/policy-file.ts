/** Policies in files: JSON, YAML, or a module. */

import { readFile } from 'node:fs/promises'
import { extname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parse } from 'yaml'
import { TollgateConfigError } from '../errors.ts'
import { policyFaults, type NativeCompiledPolicy } from '../native.ts'
import { resolveOptions, type Settings } from '../options.ts'
import { PolicySource } from '../policy-source.ts'
import type { PolicyDefinition } from '../policy-types.ts'
import { isObject } from '../schema/value.ts'
import type { KeyReader, RateLimitPolicyOptions } from '../types.ts'
import { CommandError, Exit, usageError } from './exit.ts'

/** A policy that was read, and what the compiler made of it. */
export interface ReadPolicy {
  definition: PolicyDefinition
  settings: Settings
  policy: NativeCompiledPolicy
}

/** @throws {@link CommandError} `usage` with every fault found. */
export async function readPolicy(
  file: string | undefined,
  unknownTenant: string | undefined,
): Promise<ReadPolicy> {
  const options = await policyOptions(file, unknownTenant)
  try {
    const settings = await resolveOptions(options, policyFaults)
    const policy = await new PolicySource(settings).compile(settings)
    return { definition: options.policyDefinition, settings, policy }
  } catch (error) {
    if (error instanceof TollgateConfigError)
      throw new CommandError(Exit.usage, `${file}: ${error.message}`, { cause: error })
    throw error
  }
}

/** The options of a limiter of this policy: keys that its rules name are there, and read nothing. */
export async function policyOptions(
  file: string | undefined,
  unknownTenant = 'default',
): Promise<RateLimitPolicyOptions & { policyDefinition: PolicyDefinition }> {
  if (file === undefined) throw usageError('say which policy: a file in JSON or YAML, or a module')
  if (unknownTenant !== 'default' && unknownTenant !== 'reject') {
    throw usageError(`--unknown-tenant: given ${unknownTenant}; accepted: 'default' or 'reject'`)
  }
  const definition = (await read(file)) as PolicyDefinition
  return { policyDefinition: definition, unknownTenant, keys: keysOf(definition) }
}

async function read(file: string): Promise<unknown> {
  const extension = extname(file)
  try {
    if (extension === '.json') return JSON.parse(await readFile(file, 'utf8')) as unknown
    if (extension === '.yaml' || extension === '.yml') return parse(await readFile(file, 'utf8')) as unknown
    const module = (await import(pathToFileURL(resolve(file)).href)) as Record<string, unknown>
    // A module of CommonJS has its exports as its default.
    const exported = isObject(module['default']) ? module['default'] : module
    return module['policyDefinition'] ?? exported['policyDefinition'] ?? module['default']
  } catch (error) {
    throw usageError(`${file}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** Which keys rules are kept per, besides those that are always there. */
function keysOf(definition: unknown): Record<string, KeyReader> {
  const rules = isObject(definition) && Array.isArray(definition['rules']) ? definition['rules'] : []
  const parts = rules.flatMap((rule: unknown) => (isObject(rule) ? rule['per'] : []))
  const own = parts.filter((part): part is string => typeof part === 'string' && !/^(tenant|ip)$/.test(part))
  return Object.fromEntries(own.map((part) => [part, nothing]))
}

function nothing(): undefined {
  return undefined
}
