import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'

import type { Order, Report, WorkerSettings } from './worker.ts'

/** Workers that carry out orders, one at a time each, on every core. */
export interface Crew extends AsyncDisposable {
  readonly size: number
  do(order: Order): Promise<Report>
}

export function createCrew(
  settings: WorkerSettings,
  size = Math.max(1, Math.min(4, availableParallelism())),
): Crew {
  const idle: Worker[] = []
  const waiting: ((worker: Worker) => void)[] = []
  const all: Worker[] = []
  for (let at = 0; at < size; at++) {
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: settings })
    worker.setMaxListeners(0)
    all.push(worker)
    idle.push(worker)
  }

  const take = (): Promise<Worker> => {
    const worker = idle.pop()
    return worker === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(worker)
  }
  const give = (worker: Worker): void => {
    const next = waiting.shift()
    if (next === undefined) idle.push(worker)
    else next(worker)
  }

  return {
    size,
    async do(order) {
      const worker = await take()
      const report = await new Promise<Report>((resolve, reject) => {
        const done = (report: Report) => {
          worker.off('error', failed)
          resolve(report)
        }
        const failed = (error: Error) => {
          worker.off('message', done)
          reject(error)
        }
        worker.once('message', done)
        worker.once('error', failed)
        worker.postMessage(order)
      })
      give(worker)
      return report
    },
    async [Symbol.asyncDispose]() {
      for (const worker of all) await worker.terminate()
    },
  }
}
