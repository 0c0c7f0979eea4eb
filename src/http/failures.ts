import { TidemarkError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/logger.ts'

/**
 * Runs `work`; what it throws is a `TidemarkError` afterwards. Anything unexpected is logged by its kind and the
 * places it came through, never by its message, which may quote a row.
 */
export async function reportFailure<T>(
  logger: Logger,
  about: { readonly route: string; readonly request?: string | undefined },
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (thrown) {
    if (isExpected(thrown)) throw thrown
    logger.error('A request failed for an unexpected reason', { ...about, ...describeFailure(thrown) })
    throw thrown instanceof TidemarkError
      ? thrown
      : new TidemarkError('internal', undefined, { cause: thrown })
  }
}

const isExpected = (thrown: unknown): boolean =>
  thrown instanceof TidemarkError && thrown.code !== 'internal' && thrown.code !== 'invariant'

/** What may be logged of any thrown thing: of an error that only stands for another one, of that one. */
export function describeFailure(thrown: unknown): {
  readonly kind: string
  readonly code: string | null
  readonly at: string
} {
  if (!(thrown instanceof Error)) return { kind: typeof thrown, code: null, at: '' }
  if (thrown instanceof TidemarkError && !isExpected(thrown) && thrown.cause instanceof Error)
    return describeFailure(thrown.cause)
  const code: unknown = Reflect.get(thrown, 'code')
  const frames = (thrown.stack ?? '').split('\n').filter((line) => line.startsWith('    at '))
  return {
    kind: thrown.name,
    code: typeof code === 'string' ? code : null,
    at: frames
      .slice(0, 4)
      .map((line) => line.trim())
      .join(' '),
  }
}
