/** Loads tenants again and again. */

/**
 * Calls `reload` every `everyMs`, from the end of one call to the start of the next, until the function that this returns is
 * called. The timer keeps no process alive.
 */
export function refreshing(
  everyMs: number,
  reload: () => Promise<void>,
  onError: (error: unknown) => void,
): () => void {
  let timer: NodeJS.Timeout | undefined
  let stopped = false

  async function again(): Promise<void> {
    try {
      await reload()
    } catch (error) {
      if (!stopped) onError(error)
    }
    if (!stopped) wait()
  }

  function wait(): void {
    timer = setTimeout(() => void again(), everyMs)
    timer.unref()
  }

  wait()
  return () => {
    stopped = true
    clearTimeout(timer)
  }
}
