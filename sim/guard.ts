import type { IdentityGuard, Verdict } from '../src/engine/identity.ts'

/** A machine: what survives of it outside the database files, and which files it has. */
export interface Machine {
  readonly identities: Map<string, { readonly mutation: number; readonly path: string }>
  readonly paths: Set<string>
}

export const createMachine = (): Machine => ({ identities: new Map(), paths: new Set() })

/** The guard of one file. `step` is a moment before and after each effect, at which the process may die. */
export function createGuard(
  machine: Machine,
  path: string,
  step: (label: string) => Promise<void>,
): IdentityGuard {
  return {
    async verdict(replica, lastMutation): Promise<Verdict> {
      await step('guard.verdict')
      const known = machine.identities.get(replica)
      if (known === undefined) return 'unknown'
      if (known.path !== path) {
        if (machine.paths.has(known.path)) return 'copied'
        machine.identities.set(replica, { ...known, path })
      }
      return lastMutation < known.mutation ? 'restored' : 'same'
    },
    async record(replica, mutation) {
      await step('guard.record')
      const known = machine.identities.get(replica)
      machine.identities.set(replica, { path, mutation: Math.max(mutation, known?.mutation ?? 0) })
      await step('guard.record done')
    },
    async takeBack(replica, mutation) {
      await step('guard.takeBack')
      const known = machine.identities.get(replica)
      if (known?.mutation === mutation) machine.identities.set(replica, { ...known, mutation: mutation - 1 })
      await step('guard.takeBack done')
    },
    async forget(replica) {
      await step('guard.forget')
      machine.identities.delete(replica)
    },
  }
}
