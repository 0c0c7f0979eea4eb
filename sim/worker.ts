import { parentPort, workerData } from 'node:worker_threads'

import { applyMutation } from './mutations/apply.ts'
import type { Outcome } from './outcome.ts'
import type { Case, StoreKind } from './plan.ts'

/** What the runner asks of a worker. */
export type Order =
  | { readonly type: 'seed'; readonly seed: number; readonly steps: number; readonly store: StoreKind }
  | { readonly type: 'case'; readonly case: Case; readonly trace: number; readonly follow?: string }
  | { readonly type: 'shrink'; readonly case: Case; readonly tries: number }

export type Report =
  | { readonly type: 'outcome'; readonly outcome: Outcome; readonly case: Case; readonly ms: number }
  | { readonly type: 'shrunk'; readonly case: Case; readonly outcome: Outcome; readonly tries: number }

export interface WorkerSettings {
  /** A deliberate fault, put into the product's sources as they are loaded. */
  readonly mutation: string | null
}

const { mutation } = workerData as WorkerSettings
// Before anything of the product is loaded.
if (mutation !== null) applyMutation(mutation)
const { planCase } = await import('./plan.ts')
const { runCase } = await import('./simulate.ts')
const { shrinkCase } = await import('./shrink.ts')

async function carryOut(order: Order): Promise<Report> {
  const begun = performance.now()
  if (order.type === 'seed') {
    const planned = planCase(order.seed, order)
    const outcome = await runCase(planned)
    return { type: 'outcome', outcome, case: planned, ms: performance.now() - begun }
  }
  if (order.type === 'case') {
    const outcome = await runCase(order.case, order)
    return { type: 'outcome', outcome, case: order.case, ms: performance.now() - begun }
  }
  const first = await runCase(order.case)
  if (first.violation === null) return { type: 'shrunk', case: order.case, outcome: first, tries: 0 }
  const probe = async (candidate: Case) => (await runCase(candidate)).violation
  const shrunk = await shrinkCase(order.case, first.violation, probe, order.tries)
  const outcome = await runCase(shrunk.case, { trace: 400 })
  return { type: 'shrunk', case: shrunk.case, outcome, tries: shrunk.tries }
}

parentPort?.on('message', (order: Order) => {
  void carryOut(order).then((report) => parentPort?.postMessage(report))
})
