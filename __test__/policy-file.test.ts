import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { Ajv } from 'ajv'
import { enforceRateLimitPolicy, type PolicyDefinition } from 'tollgate'
import { parse } from 'yaml'
import { policyDefinition as tiers } from '../examples/policies/tiers.ts'
import { grantsOf } from '../ts/grant.ts'
import { checkPolicy } from '../ts/policy.ts'
import { tenantIssues } from '../ts/tenants.ts'

const schema = createRequire(import.meta.url)('tollgate/policy.schema.json') as SchemaNode
const validate = new Ajv({
  strict: true,
  allowUnionTypes: true,
  allErrors: true,
  strictRequired: false,
}).compile(schema)
const gateway = parse(
  readFileSync(new URL('../examples/policies/gateway.yaml', import.meta.url), 'utf8'),
) as PolicyDefinition

interface SchemaNode {
  properties?: Record<string, SchemaNode>
  items?: SchemaNode
  description?: string
}

/** Is it accepted, when it is put in force? */
async function accepted(definition: unknown): Promise<boolean> {
  const context = { keys: ['region'], unknownTenant: 'default', judge: () => [] } as const
  const { spec, issues, tenantOverrides } = checkPolicy(definition, context)
  return issues.length === 0 && (await tenantIssues(tenantOverrides, grantsOf(spec))).length === 0
}

const rule = (fields: object): object => ({ rules: [{ name: 'a', ...fields }] })
const tenant = (override: unknown): object => ({ tiers: { pro: 5 }, tenantOverrides: { acme: override } })

const good: Record<string, unknown> = {
  'nothing at all': {},
  'the example in TypeScript': tiers,
  'the example in YAML': gateway,
  'the name of its schema': { $schema: './node_modules/tollgate/policy.schema.json' },
  'windows with units and without': { window: 500, ...rule({ quota: 1, window: '1.5 s' }) },
  'a month for all': { window: 'month', algorithm: 'fixed-window', ...rule({ quota: 1 }) },
  'an unlimited tier': { tiers: { internal: 'unlimited' } },
  'tenants in rows': {
    tiers: { pro: 5 },
    tenantOverrides: [
      { tenant: 'a', quota: 1 },
      { tenant: 'b', tier: 'pro' },
    ],
  },
  'a tenant of a tier': tenant('pro'),
  'a tenant of a tier, with more': tenant({ tier: 'pro', burst: 5 }),
  'a rule per key': rule({ quota: 1, per: ['ip', 'region'] }),
  'a rule for methods': rule({ concurrency: 1, match: { method: ['get', 'POST'] } }),
}

const bad: Record<string, unknown> = {
  'a list': [],
  'an unknown option': { quota: 5 },
  'a negative quota': { defaultQuota: -1 },
  'a fractional burst': { burstAllowance: 0.5 },
  'a window without a unit': { window: '60' },
  'a window of nothing': { window: 0 },
  'an algorithm that there is not': { algorithm: 'leaky-bucket' },
  'a month in buckets': { window: 'month' },
  'a day in sliding windows': { window: 'day', algorithm: 'sliding-window' },
  'a tier without quota': { tiers: { a: { burst: 1 } } },
  'a tier that is called unlimited': { tiers: { unlimited: 1 } },
  'a tier whose name is a phrase': { tiers: { 'a b': 1 } },
  'a tier by the month in buckets': {
    tiers: { a: { quota: 1, window: 'month', algorithm: 'token-bucket' } },
  },
  'a tenant of nothing': tenant({ burst: 1 }),
  'a tenant with an unknown option': tenant({ quota: 1, brust: 1 }),
  'a tenant that is true': tenant(true),
  'a row without a tenant': { tenantOverrides: [{ quota: 1 }] },
  'rules by name': { rules: { a: { quota: 1 } } },
  'a rule without a name': { rules: [{ quota: 1 }] },
  'a rule named default': rule({ name: 'default', quota: 1 }),
  'an unknown option of a rule': rule({ quota: 1, windw: '1s' }),
  'an unknown field to match': rule({ quota: 1, match: { route: '/' } }),
  'a list of no paths': rule({ quota: 1, match: { path: [] } }),
  'a concurrency of nothing': rule({ concurrency: 0 }),
  'a mode that there is not': rule({ quota: 1, mode: 'dry-run' }),
  'an address that is a number': { allow: { addresses: [10] } },
  'a list of addresses that is one': { deny: { addresses: '10.0.0.1' } },
}

/** What the addon refuses, and shapes here leave to it. */
const leftToTheAddon: Record<string, unknown> = {
  'a rule of both kinds': rule({ quota: 1, concurrency: 1 }),
  'a rule of neither kind': rule({}),
  'a rule with a window in flight': rule({ concurrency: 1, window: '1s' }),
}

for (const [what, definition] of Object.entries(good)) {
  test(`${what} is accepted by the schema, and when it is put in force`, async () => {
    assert.equal(validate(definition), true, JSON.stringify(validate.errors))
    assert.equal(await accepted(definition), true)
  })
}

for (const [what, definition] of Object.entries(bad)) {
  test(`${what} is refused by the schema, and when it is put in force`, async () => {
    assert.equal(validate(definition), false)
    assert.equal(await accepted(definition), false)
  })
}

for (const [what, definition] of Object.entries(leftToTheAddon)) {
  test(`${what} is refused by the schema`, () => assert.equal(validate(definition), false))
}

test('the schema describes every option', () => {
  const bare: string[] = []
  const visit = (node: unknown, path: string): void => {
    if (typeof node !== 'object' || node === null) return
    const { properties } = node as SchemaNode
    for (const [key, child] of Object.entries(node)) {
      if (key !== 'if' && key !== 'then' && key !== 'oneOf') visit(child, `${path}/${key}`)
    }
    for (const [name, { description }] of Object.entries(properties ?? {})) {
      if (!description) bare.push(`${path}/${name}`)
    }
  }
  visit(schema, '')
  assert.deepEqual(bare, [])
})

test('a policy that was read from YAML is put in force', async () => {
  await using limiter = await enforceRateLimitPolicy({ namespace: 'yaml', policyDefinition: gateway })
  assert.equal(limiter.peek('acme').limit, 630)
  assert.equal(limiter.peek('globex').limit, 5_000_000)
  assert.equal(limiter.peek('playground').limit, 30)
  assert.equal(limiter.peek('internal').limit, Infinity)
  assert.equal(limiter.peek('anybody').limit, 330)
})

test('tiers, overrides and rules are put in force', async () => {
  await using limiter = await enforceRateLimitPolicy({ namespace: 'tiers', policyDefinition: tiers })
  assert.equal(limiter.peek('acme').limit, 700)
  assert.equal(limiter.peek('globex').limit, 20_020)
  assert.equal(limiter.peek('initech').limit, 520)
})
