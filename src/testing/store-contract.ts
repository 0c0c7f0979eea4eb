import { describe } from 'vitest'

import { appliedContract } from './store-contract/applied.ts'
import { applyContract } from './store-contract/apply.ts'
import { captureContract } from './store-contract/capture.ts'
import { dirtyRowsContract } from './store-contract/dirty-rows.ts'
import type { ContractOptions, OpenStore } from './store-contract/harness.ts'
import { hydrateContract } from './store-contract/hydrate.ts'
import { inboxContract } from './store-contract/inbox.ts'
import { mergedContract } from './store-contract/merged.ts'
import { mutationContract } from './store-contract/mutation.ts'
import { parkingContract } from './store-contract/parking.ts'
import { quarantineContract } from './store-contract/quarantine.ts'
import { rekeyContract } from './store-contract/rekey.ts'
import { resetsContract } from './store-contract/resets.ts'
import { schemaContract } from './store-contract/schema.ts'
import { uniqueContract } from './store-contract/unique.ts'
import { valuesContract } from './store-contract/values.ts'
import { watchingContract } from './store-contract/watching.ts'

/**
 * The suite that every implementation of `engine/store.ts` passes: its prose, sentence by sentence. `open` makes a
 * fresh file with the given tables for each test; whatever it opens, the harness closes when it is disposed.
 */
export function storeContract(name: string, open: OpenStore, options: ContractOptions = {}): void {
  describe(`the store contract: ${name}`, () => {
    captureContract(open)
    dirtyRowsContract(open)
    mutationContract(open)
    applyContract(open)
    appliedContract(open)
    mergedContract(open)
    uniqueContract(open)
    parkingContract(open)
    rekeyContract(open)
    hydrateContract(open)
    resetsContract(open)
    inboxContract(open)
    quarantineContract(open)
    schemaContract(open)
    valuesContract(open, options)
    watchingContract(open)
  })
}
