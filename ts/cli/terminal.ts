/** How commands print: in colours on a terminal only, in tables that fit its width, or in JSON and nothing else. */

import { stripVTControlCharacters } from 'node:util'
import type { StageStatus, TopologyFinding } from '../rollout-types.ts'

/** What a command reads from and writes to. */
export interface Streams {
  stdin: NodeJS.ReadableStream & { isTTY?: boolean }
  stdout: NodeJS.WritableStream & { isTTY?: boolean; columns?: number }
  stderr: NodeJS.WritableStream
  env: NodeJS.ProcessEnv
}

const COLOURS = { red: 31, green: 32, yellow: 33, blue: 34, grey: 90, bold: 1 } as const
export type Colour = keyof typeof COLOURS

/** Where there is no terminal to be asked. */
const WIDTH = 100
const NARROWEST = 40

const OF_STATUS: Record<StageStatus, [string, Colour]> = {
  pending: ['·', 'grey'],
  running: ['…', 'blue'],
  passed: ['✓', 'green'],
  failed: ['✗', 'red'],
  skipped: ['-', 'grey'],
  inconclusive: ['?', 'yellow'],
}

const OF_LEVEL: Record<TopologyFinding['level'], Colour> = { fault: 'red', warning: 'yellow', info: 'grey' }

export class Terminal {
  readonly isTerminal: boolean
  /** Is somebody being asked? Then nothing is to be written over the question. */
  isAsking = false
  private readonly hasColours: boolean

  constructor(
    readonly streams: Streams,
    /** Is only JSON to be printed? */
    readonly isJson: boolean,
  ) {
    const { stdout, env } = streams
    this.isTerminal = stdout.isTTY === true && !isJson
    this.hasColours = this.isTerminal && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb'
  }

  get width(): number {
    return Math.max(NARROWEST, this.isTerminal ? this.streams.stdout.columns || WIDTH : WIDTH)
  }

  /** Can somebody be asked? */
  get asks(): boolean {
    return this.isTerminal && this.streams.stdin.isTTY === true
  }

  /** A line for people; nothing where JSON is printed. */
  line(text = ''): void {
    if (!this.isJson) this.streams.stdout.write(`${text}\n`)
  }

  /** What machines read: nothing where people do. */
  json(value: unknown): void {
    if (this.isJson) this.streams.stdout.write(`${JSON.stringify(value)}\n`)
  }

  error(text: string): void {
    this.streams.stderr.write(`tollgate: ${text}\n`)
  }

  paint(colour: Colour, text: string): string {
    return this.hasColours ? `\u001B[${COLOURS[colour]}m${text}\u001B[0m` : text
  }

  status(status: StageStatus): string {
    const [sign, colour] = OF_STATUS[status]
    return this.paint(colour, sign)
  }

  finding({ level, text }: TopologyFinding): void {
    this.line(this.fit(`  ${this.paint(OF_LEVEL[level], level.padEnd(7))}  ${text}`))
  }

  /** Rows under headings, in columns; the last one is cut where the line ends. */
  table(headings: readonly string[], rows: readonly (readonly string[])[]): void {
    const widths = headings.map((heading, column) =>
      Math.max(heading.length, ...rows.map((row) => shownLength(row[column] ?? ''))),
    )
    const printed = (row: readonly string[]): string =>
      row.map((cell, column) => cell + ' '.repeat(widths[column]! - shownLength(cell))).join('  ')
    this.line(this.fit(this.paint('bold', printed(headings).trimEnd())))
    for (const row of rows) this.line(this.fit(printed(row).trimEnd()))
  }

  /** Cut where the line ends. Only on a terminal: elsewhere nothing is lost. */
  fit(text: string): string {
    if (!this.isTerminal || shownLength(text) <= this.width) return text
    const plain = stripVTControlCharacters(text)
    // Colours are lost where text is cut; that is better than a line that wraps.
    return `${plain.slice(0, this.width - 1)}…`
  }
}

function shownLength(text: string): number {
  return stripVTControlCharacters(text).length
}
