/** What the compiler made of a policy, as the log of a rollout has it. */

import type { CompileReport } from './limiter-types.ts'
import type { NativeCompiledPolicy } from './native.ts'
import type { CompilationOutput } from './rollout-types.ts'

export function compilationOutput(
  policy: Pick<NativeCompiledPolicy, 'hash' | 'report'>,
  diff: string[] | null,
): CompilationOutput {
  const report = JSON.parse(policy.report()) as CompileReport
  const { bytes, tenants, rules, limits, level } = report
  const counts = { image_bytes: bytes, tenants, rules, limits, optimization_level: level }
  return { hash: policy.hash, ...counts, optimizations: optimizations(report), diff }
}

function optimizations({ folded, removed, merged }: CompileReport): string[] {
  return [
    ...(folded === 0 ? [] : [`the outcome of ${folded} tests is known beforehand`]),
    ...removed.map(([rule, why]) => `rule ${rule} is left out: ${why}`),
    ...merged.map(([rule, into]) => `rule ${rule} does the same as ${into}`),
  ]
}
