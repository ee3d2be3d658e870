/** Tables and goals, as text. */

export function title(text: string): void {
  console.log(`\n${text}\n`)
}

export function table(heading: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = heading.map((_, column) =>
    Math.max(...[heading, ...rows].map((row) => row[column]?.length ?? 0)),
  )
  for (const row of [heading, ...rows]) {
    const cells = row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
    )
    console.log(`  ${cells.join('   ')}`)
  }
  console.log()
}

/** A figure beside the most that we want it to be. */
export function goal(name: string, value: number, most: number): void {
  const verdict = value <= most ? 'reached' : 'MISSED'
  console.log(`  ${name}: ${value.toFixed(most < 0.1 ? 4 : 2)} (goal: at most ${most}; ${verdict})`)
}
