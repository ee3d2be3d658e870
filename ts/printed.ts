/** Values as error messages show them: on one line, escaped, and cut short, whatever they hold. */

/** Characters of a value that are shown. */
const LONGEST = 64

// JSON escapes C0 controls and lone surrogates; this adds DEL and C1 controls (terminals), separators and bidi marks.
const UNPRINTABLE = /[\u007f-\u009f\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff9-\ufffd]/g

function escaped(text: string): string {
  const quoted = JSON.stringify(text.length > LONGEST ? text.slice(0, LONGEST) : text)
  const plain = quoted.replace(
    UNPRINTABLE,
    (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  return text.length > LONGEST ? `${plain}… (${text.length} characters)` : plain
}

/** A value, for a message. Never calls into it: no getters, no `toString`. */
export function printed(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return escaped(value)
    case 'bigint':
      return value < 10n ** 30n && value > -(10n ** 30n) ? `${value}n` : 'a bigint'
    case 'function':
      return 'a function'
    case 'symbol':
      return 'a symbol'
    case 'object':
      if (value === null) return 'null'
      return Array.isArray(value) ? `an array of ${value.length}` : 'an object'
    default:
      return Object.is(value, -0) ? '-0' : String(value)
  }
}

const PLAIN_NAME = /^[A-Za-z0-9_$-]{1,64}$/

/** A place in the options: `policyDefinition.tenantOverrides.acme.quota`, with `["…"]` for names that need it. */
export function pathOf(keys: readonly unknown[]): string {
  let path = ''
  for (const key of keys) {
    if (typeof key === 'number') path += `[${key}]`
    else if (typeof key === 'string' && PLAIN_NAME.test(key)) path += path === '' ? key : `.${key}`
    else path += `[${printed(key)}]`
  }
  return path
}
