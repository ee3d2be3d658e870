/** Where policies come from: the definition that was applied last, and its tenants. */

import { policyDraft, policyFaults, type NativeCompiledPolicy } from './native.ts'
import { resolvePolicy, type PolicySettings, type Settings } from './options.ts'
import { compileTenants } from './tenants.ts'

export class PolicySource {
  constructor(
    private readonly settings: Settings,
    /** The definition that was applied last. */
    public definition: PolicySettings = settings,
  ) {}

  /**
   * Reads a definition that is to follow.
   * @throws {@link TollgateConfigError} with every fault found.
   */
  read(definition: unknown): Promise<PolicySettings> {
    return resolvePolicy(definition, this.settings, policyFaults)
  }

  /** Compiles a definition, with its tenants as they are now. */
  compile({ policy, grants, tenantOverrides }: PolicySettings): Promise<NativeCompiledPolicy> {
    const draft = policyDraft(JSON.stringify(policy), this.settings.optimizationLevel)
    return compileTenants(draft, tenantOverrides, grants)
  }
}
