/** The shape of a mount's options. */

import * as v from 'valibot'
import type { HeaderVersion, MiddlewareOptions, TenantResolver } from '../types.ts'
import { callback, closed, whole } from './value.ts'

const HEADER_VERSIONS = ['draft-11', 'draft-8', 'legacy', 'none'] as const
const ACCEPTED_HEADERS = `${HEADER_VERSIONS.map((name) => `'${name}'`).join(', ')}, or an array of several`
const headerVersion = v.picklist(HEADER_VERSIONS, ACCEPTED_HEADERS)

const headers = v.lazy((input): v.GenericSchema<unknown, HeaderVersion[]> =>
  Array.isArray(input)
    ? v.array(headerVersion)
    : v.pipe(
        headerVersion,
        v.transform((version) => [version]),
      ),
)

const COST = `a whole number from 0 to ${Number.MAX_SAFE_INTEGER}, or a function of the request`

type Option<Name extends keyof MiddlewareOptions> = NonNullable<MiddlewareOptions[Name]>

const cost = v.lazy((input): v.GenericSchema<unknown, Option<'cost'>> =>
  typeof input === 'function'
    ? callback<Exclude<Option<'cost'>, number>>()
    : whole(0, Number.MAX_SAFE_INTEGER, COST),
)

const middlewareEntries = {
  cost: v.optional(cost, 1),
  skip: v.optional(callback<Option<'skip'>>()),
  tenant: v.optional(callback<TenantResolver>()),
  rule: v.optional(v.pipe(v.string('the name of a rule'), v.nonEmpty('the name of a rule'))),
  onLimited: v.optional(callback<Option<'onLimited'>>()),
  headers: v.optional(headers, 'draft-11'),
  statusCode: v.optional(whole(400, 599), 429),
  skipSuccessfulRequests: v.optional(v.boolean('true or false'), false),
  skipFailedRequests: v.optional(v.boolean('true or false'), false),
  requestWasSuccessful: v.optional(callback<Option<'requestWasSuccessful'>>()),
}

/** Options of Limiter.middleware. */
export const middlewareSchema = closed(middlewareEntries, 'an object of options')
