/** Where policies come from: the definition that was given last, and its tenants. */

import { policyDraft, policyFaults, type NativeCompiledPolicy } from './native.ts'
import { resolvePolicy, type PolicySettings, type Settings } from './options.ts'
import { compileTenants } from './tenants.ts'

export class PolicySource {
  /** Called when there is another policy. */
  onRenewed: () => void = () => undefined
  private current: PolicySettings

  constructor(private readonly settings: Settings) {
    this.current = settings
  }

  /** How often tenants are loaded again, in milliseconds. */
  get tenantRefresh(): number | undefined {
    return this.current.tenantRefresh
  }

  /** Compiles the policy, with its tenants as they are now. */
  compile(): Promise<NativeCompiledPolicy> {
    return this.compiled(this.current)
  }

  /**
   * Compiles another policy, which is the one from then on.
   * @throws {@link TollgateConfigError} with every fault found; then the last one stays.
   */
  async renew(definition: unknown): Promise<NativeCompiledPolicy> {
    const next = await resolvePolicy(definition, this.settings, policyFaults)
    const compiled = await this.compiled(next)
    this.current = next
    this.onRenewed()
    return compiled
  }

  private compiled({ policy, grants, tenantOverrides }: PolicySettings): Promise<NativeCompiledPolicy> {
    const draft = policyDraft(JSON.stringify(policy), this.settings.optimizationLevel)
    return compileTenants(draft, tenantOverrides, grants)
  }
}
