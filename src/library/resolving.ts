import { AsyncLocalStorage } from 'node:async_hooks'

import type { NamedResolver, Resolution } from '../engine/resolvers.ts'

/** A resolver at work, for a file whose sync waits for the answer. */
interface Resolving {
  readonly file: string
  isAwaited: boolean
}

const RESOLVING = new AsyncLocalStorage<Resolving>()

/** The same resolver; what it calls is known from what the application calls otherwise, until it has answered. */
export const markResolver = ({ name, resolve }: NamedResolver, file: string): NamedResolver => ({
  name,
  resolve(conflict) {
    const resolving: Resolving = { file, isAwaited: true }
    const answer = RESOLVING.run(resolving, () => resolve(conflict))
    return answer instanceof Promise ? untilAnswered(answer, resolving) : answer
  },
})

/** What it started and did not wait for may do what it likes afterwards. */
async function untilAnswered(answer: Promise<Resolution>, resolving: Resolving): Promise<Resolution> {
  try {
    return await answer
  } finally {
    resolving.isAwaited = false
  }
}

/** Inside a resolver that a sync of the file waits for: another sync would wait for itself. */
export function isInsideResolver(file: string): boolean {
  const resolving = RESOLVING.getStore()
  return resolving?.isAwaited === true && resolving.file === file
}

export const INSIDE_RESOLVER =
  'A sync that is asked for inside a conflict resolver would wait for that resolver, and so for itself; ask for it when the sync has ended'
