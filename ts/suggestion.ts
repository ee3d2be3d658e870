/** The name that was probably meant. */

/** Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours. */
function distance(from: string, to: string): number {
  const rows = Array.from({ length: from.length + 1 }, (_, row) => [row])
  const at = (row: number, column: number): number => rows[row]?.[column] ?? 0
  for (let column = 0; column <= to.length; column++) rows[0]![column] = column
  for (let row = 1; row <= from.length; row++) {
    for (let column = 1; column <= to.length; column++) {
      const same = from[row - 1] === to[column - 1]
      let best = Math.min(
        at(row - 1, column) + 1,
        at(row, column - 1) + 1,
        at(row - 1, column - 1) + (same ? 0 : 1),
      )
      if (row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]) {
        best = Math.min(best, at(row - 2, column - 2) + 1)
      }
      rows[row]![column] = best
    }
  }
  return at(from.length, to.length)
}

/** The nearest of the accepted names, if one is near: at most a third of its letters differ, or one contains the other. */
export function nearest(name: string, accepted: readonly string[]): string | undefined {
  if (name.length > 64) return undefined
  const given = name.toLowerCase()
  let best: string | undefined
  let least = Infinity
  for (const candidate of accepted) {
    const lower = candidate.toLowerCase()
    const contained = given.length >= 4 && (lower.includes(given) || given.includes(lower))
    const far = contained ? 1 : distance(given, lower)
    if (far < least && far <= Math.max(1, Math.floor(lower.length / 3))) {
      best = candidate
      least = far
    }
  }
  return best
}
