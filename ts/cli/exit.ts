/** How commands end. */

/** Exit codes. They do not change between versions. */
export const Exit = {
  /** It is done. */
  done: 0,
  /** The policy was rolled back, or something is wrong. */
  failed: 1,
  /** The command or the policy is at fault. */
  usage: 2,
  /** There was too little traffic to judge by, or the rollout was left to the fleet. */
  inconclusive: 3,
  /** The fleet cannot be reached, or refuses. */
  refused: 4,
} as const

export type ExitCode = (typeof Exit)[keyof typeof Exit]

/** Ends a command. */
export class CommandError extends Error {
  constructor(
    readonly exit: ExitCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}

export function usageError(message: string): CommandError {
  return new CommandError(Exit.usage, message)
}
