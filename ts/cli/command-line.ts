/**
 * What may be said on the command line. `util.parseArgs` of Node reads it: it knows all that is needed here (repeated options, short
 * ones, refusal of what it does not know), and is one dependency less.
 */

import { parseArgs, type ParseArgsConfig } from 'node:util'
import { usageError } from './exit.ts'

const OPTIONS = {
  backend: { type: 'string', short: 'b', multiple: true },
  namespace: { type: 'string', short: 'n' },
  json: { type: 'boolean' },
  force: { type: 'boolean' },
  strategy: { type: 'string' },
  steps: { type: 'string' },
  window: { type: 'string' },
  deadline: { type: 'string' },
  'min-samples': { type: 'string' },
  threshold: { type: 'string' },
  yes: { type: 'boolean', short: 'y' },
  confirm: { type: 'boolean' },
  against: { type: 'string' },
  'unknown-tenant': { type: 'string' },
  count: { type: 'string' },
  method: { type: 'string' },
  path: { type: 'string' },
  ip: { type: 'string' },
  user: { type: 'string' },
  app: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
} as const satisfies ParseArgsConfig['options']

export type OptionName = keyof typeof OPTIONS

/** Of every command. */
const EVERYWHERE: readonly OptionName[] = ['json', 'help', 'version']
const FLEET: readonly OptionName[] = ['backend', 'namespace']
const COMPILING: readonly OptionName[] = ['unknown-tenant']
const ROLLOUT: readonly OptionName[] = ['strategy', 'steps', 'window', 'deadline', 'min-samples', 'threshold']

/** What each command takes besides. */
export const COMMANDS = {
  plan: [...FLEET, ...COMPILING, 'against', 'force'],
  apply: [...FLEET, ...COMPILING, ...ROLLOUT, 'force', 'yes', 'confirm'],
  status: FLEET,
  rollback: [...FLEET, 'yes'],
  history: [...FLEET, 'count'],
  explain: [...COMPILING, 'method', 'path', 'ip', 'user'],
  doctor: [...FLEET, 'app'],
} as const satisfies Record<string, readonly OptionName[]>

export type CommandName = keyof typeof COMMANDS

/** What was said. */
export interface CommandLine {
  command: CommandName | undefined
  /** What comes after the command, without a name. */
  operands: string[]
  options: ReturnType<typeof parsed>['values']
}

export const USAGE = `Usage: tollgate COMMAND [OPTIONS]

Commands
  plan POLICY            say what applying a policy would do, and change nothing
  apply POLICY           bring a policy to the fleet: canary, judged by live traffic, locked or rolled back
  status                 the active policy, the instances, the rollout that is under way
  rollback [REVISION]    go back to an earlier policy, or cancel the rollout that is under way
  history                the audit trail
  explain POLICY TENANT  say which limits a request of a tenant meets
  doctor                 look for faults of the fleet, its backends and an Express app

POLICY is a file in JSON or YAML, or a module that exports policyDefinition, or has it as its default.

Options of the fleet
  -b, --backend URL      a Redis of the fleet, in the order in which the service names them; can be repeated
                         (default: TOLLGATE_BACKENDS, separated by commas)
  -n, --namespace NAME   the fleet's namespace (default: TOLLGATE_NAMESPACE, or 'default')

Options of plan, apply and explain
  --unknown-tenant WHAT  'default' or 'reject', as the service has it (default: 'default')
  --against POLICY       plan: the policy to compare with
  --force                in spite of faults of the backends, and of an earlier rollback

Options of apply
  --strategy HOW         'rolling' or 'simultaneous' (default: 'rolling')
  --steps SHARES         which share of the instances each step takes in (default: 0.1,0.5,1)
  --window TIME          how long each step is judged by live traffic (default: 60s)
  --deadline TIME        how long at most (default: 15m)
  --min-samples COUNT    nothing is said of fewer requests (default: 100)
  --threshold SHARE      the share of decisions that may flip to deny (default: 0.05)
  --confirm              take too little traffic for enough
  -y, --yes              apply, rollback: ask nothing

Other options
  --count COUNT          history: so many entries (default: 50)
  --method, --path, --ip, --user
                         explain: the request
  --app MODULE           doctor: a module that exports an Express app
  --json                 print JSON, and nothing else
  -h, --help, --version

Exit codes
  0  done
  1  the policy was rolled back; plan or doctor found faults
  2  the command or the policy is at fault
  3  too little traffic to judge by, or the rollout was left to the fleet
  4  the fleet cannot be reached, or refuses
`

/** @throws {@link CommandError} for what is not understood. */
export function readCommandLine(args: readonly string[]): CommandLine {
  const { values, positionals } = parsed(args)
  const [name, ...operands] = positionals
  if (name === undefined) return { command: undefined, operands, options: values }
  if (!isCommand(name))
    throw usageError(`there is no command ${name}; there are ${Object.keys(COMMANDS).join(', ')}`)
  const accepted = new Set<string>([...EVERYWHERE, ...COMMANDS[name]])
  const strange = Object.keys(values).find((option) => !accepted.has(option))
  if (strange !== undefined) throw usageError(`${name} has no option --${strange}`)
  return { command: name, operands, options: values }
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true })
  } catch (error) {
    throw usageError(error instanceof Error ? error.message : String(error))
  }
}

function isCommand(name: string): name is CommandName {
  return Object.hasOwn(COMMANDS, name)
}
