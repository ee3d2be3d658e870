// The JSON Schema of policy files: shapes from ts/schema/policy-file.ts, descriptions from the comments of ts/policy-types.ts.

/* eslint-disable unicorn/no-thenable -- 'then' is a word of JSON Schema */

import { fileURLToPath } from 'node:url'
import { toJsonSchema } from '@valibot/to-json-schema'
import { tsImport } from 'tsx/esm/api'
import typescript from 'typescript'

const types = fileURLToPath(new URL('../ts/policy-types.ts', import.meta.url))

const calendar = { properties: { window: { enum: ['day', 'month'] } }, required: ['window'] }
const isFixed = { properties: { algorithm: { const: 'fixed-window' } } }
/** An algorithm that is left out is inherited, which cannot be seen from there. */
const inheriting = { if: calendar, then: isFixed }

const QUOTA_OR_TIER = [{ required: ['quota'] }, { required: ['tier'] }]
const QUOTA_OR_CONCURRENCY = [
  { required: ['quota'], properties: { concurrency: false } },
  {
    required: ['concurrency'],
    properties: { quota: false, burst: false, window: false, algorithm: false },
  },
]

/** The schema, as the text of a file. */
export async function policySchema() {
  const { policyFile, tierQuota, tenantObject, tenantRow, ruleObject, matchObject, listObject } =
    await tsImport('../ts/schema/policy-file.ts', import.meta.url)
  const described = descriptions()
  /** Of an object, by its entries: the interfaces that describe it, and what its shape does not say. */
  const objects = new Map([
    [
      policyFile.entries,
      [['PolicyDefinition'], { if: calendar, then: { ...isFixed, required: ['algorithm'] } }],
    ],
    [tierQuota.entries, [['TierQuota'], inheriting]],
    [tenantObject.entries, [['TenantQuota'], { ...inheriting, anyOf: QUOTA_OR_TIER }]],
    [tenantRow.entries, [['TenantQuota', 'TenantRow'], { ...inheriting, anyOf: QUOTA_OR_TIER }]],
    [ruleObject.entries, [['QuotaRule', 'ConcurrencyRule'], { ...inheriting, oneOf: QUOTA_OR_CONCURRENCY }]],
    [matchObject.entries, [['RuleMatch'], {}]],
    [listObject.entries, [['AllowList'], {}]],
  ])
  const schema = toJsonSchema(policyFile, {
    typeMode: 'input',
    ignoreActions: ['check', 'to_upper_case'],
    overrideSchema({ valibotSchema, jsonSchema }) {
      // What only a function can tell is said by metadata.
      if (valibotSchema.type === 'custom') return {}
      const [interfaces, conditions] = objects.get(valibotSchema.entries) ?? []
      if (interfaces === undefined) return undefined
      for (const [name, property] of Object.entries(jsonSchema.properties)) {
        property.description = interfaces.map((type) => described(type, name)).find(Boolean)
      }
      return { ...jsonSchema, ...conditions }
    },
  })
  const { $defs, ...root } = schema
  const whole = {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Tollgate policy',
    description: described('PolicyDefinition'),
    ...inlined(root, $defs),
  }
  return `${JSON.stringify(whole, null, 2)}\n`
}

/** Editors show no description beside a reference. */
function inlined(value, definitions) {
  if (Array.isArray(value)) return value.map((item) => inlined(item, definitions))
  if (typeof value !== 'object' || value === null) return value
  const { $ref, ...rest } = value
  const name = typeof $ref === 'string' ? $ref.replace('#/$defs/', '') : undefined
  const fields = name === undefined ? value : { ...definitions[name], ...rest }
  return Object.fromEntries(Object.entries(fields).map(([key, item]) => [key, inlined(item, definitions)]))
}

/** Reads the comment of an interface, or of one of its properties. */
function descriptions() {
  const program = typescript.createProgram([types], { strict: true, target: typescript.ScriptTarget.ES2022 })
  const checker = program.getTypeChecker()
  const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(types)))
  const text = (symbol) =>
    typescript
      .displayPartsToString(symbol?.getDocumentationComment(checker))
      .replaceAll(/\{@link ([^}]+)\}/g, '$1')
      .replaceAll(/\s+/g, ' ')
      .trim()
  return (type, property) => {
    const symbol = exported.find(({ name }) => name === type)
    if (property === undefined) return text(symbol)
    return text(checker.getDeclaredTypeOfSymbol(symbol).getProperty(property))
  }
}
