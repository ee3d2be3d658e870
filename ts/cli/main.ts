/** Which command does what was said, and how it ends. */

import { TollgateConfigError, TollgateError } from '../errors.ts'
import { packageVersion } from '../package-version.ts'
import { apply } from './apply.ts'
import { readCommandLine, USAGE, type CommandLine, type CommandName } from './command-line.ts'
import { doctor } from './doctor.ts'
import { CommandError, Exit, type ExitCode } from './exit.ts'
import { explain } from './explain.ts'
import { history } from './history.ts'
import { plan } from './plan.ts'
import { rollback } from './rollback.ts'
import { status } from './status.ts'
import { Terminal, type Streams } from './terminal.ts'

/** Does what was said; resolves to how it ended. */
export type Command = (line: CommandLine, terminal: Terminal) => Promise<ExitCode>

const COMMANDS: Record<CommandName, Command> = { plan, apply, status, rollback, history, explain, doctor }

/** Runs a command line, without the names of Node and of the script; gives its exit code. */
export async function run(args: readonly string[], streams: Streams): Promise<ExitCode> {
  let terminal = new Terminal(streams, args.includes('--json'))
  try {
    const line = readCommandLine(args)
    const { json = false, help, version } = line.options
    terminal = new Terminal(streams, json)
    if (version === true) return said(streams, `${packageVersion()}\n`)
    if (help === true || line.command === undefined) {
      const isAsked = help === true
      ;(isAsked ? streams.stdout : streams.stderr).write(USAGE)
      return isAsked ? Exit.done : Exit.usage
    }
    return await COMMANDS[line.command](line, terminal)
  } catch (error) {
    return failed(error, terminal)
  }
}

function said({ stdout }: Streams, text: string): ExitCode {
  stdout.write(text)
  return Exit.done
}

function failed(error: unknown, terminal: Terminal): ExitCode {
  const message = error instanceof Error ? error.message : String(error)
  const exit = exitOf(error)
  terminal.json({ error: message, exit })
  terminal.error(message)
  return exit
}

function exitOf(error: unknown): ExitCode {
  if (error instanceof CommandError) return error.exit
  if (error instanceof TollgateConfigError) return Exit.usage
  if (error instanceof TollgateError) return Exit.refused
  return Exit.refused
}
