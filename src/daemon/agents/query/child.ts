/**
 * The process in which a query runs: nothing but its end stops SQLite within a statement. Its parent ends it, and where
 * the parent is gone, itself.
 */
import { Worker } from 'node:worker_threads'

import { toTidemarkError } from '../../../kernel/errors.ts'
import { once } from 'node:events'
import type { QueryMessage, QueryQuestion } from './query.ts'
import { readQuery } from './read.ts'

/** This thread hears nothing while SQLite works. */
const WATCH = `setInterval(() => { if (process.ppid !== ${process.ppid}) process.kill(process.pid, 'SIGKILL') }, 500)`

const send = (message: QueryMessage): Promise<void> =>
  new Promise((resolve) => process.send?.(message, undefined, undefined, () => resolve()))

process.once('message', (question: QueryQuestion) => {
  new Worker(WATCH, { eval: true }).unref()
  void answer(question).finally(() => process.disconnect())
})

async function answer({ file, sql, limit }: QueryQuestion): Promise<void> {
  try {
    for (const piece of readQuery(file, sql, limit)) {
      const asked = once(process, 'message')
      await send({ piece })
      await asked
    }
    await send({ done: true })
  } catch (thrown) {
    await send({ error: toTidemarkError(thrown).toJSON() })
  }
}
