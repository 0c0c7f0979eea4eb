import { describe } from 'vitest'

import { copiesContract } from './log-contract/copies.ts'
import type { OpenLog } from './log-contract/harness.ts'
import { historyContract } from './log-contract/history.ts'
import { hydrateContract } from './log-contract/hydrate.ts'
import { mergeContract } from './log-contract/merge.ts'
import { modelContract } from './log-contract/model.ts'
import { partsContract } from './log-contract/parts.ts'
import { pullContract } from './log-contract/pull.ts'
import { pushContract } from './log-contract/push.ts'
import { restContract } from './log-contract/rest.ts'

/**
 * What every storage of the cloud must do (`cloud/log/log.ts`). `open` makes an empty one; `seeds` is how many
 * random runs of several replicas at once it goes through.
 */
export function logContract(name: string, open: OpenLog, options: { readonly seeds?: number } = {}): void {
  describe(`log contract: ${name}`, () => {
    pushContract(open)
    partsContract(open)
    pullContract(open)
    hydrateContract(open)
    historyContract(open)
    mergeContract(open)
    restContract(open)
    copiesContract(open)
    modelContract(open, options.seeds ?? 20)
  })
}
