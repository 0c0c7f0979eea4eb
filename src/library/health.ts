import { TROUBLES } from './failures.ts'
import type { SyncProvider } from './provider.ts'

/** How it stands with the cloud, in the words of the origin. */
export type HealthReport =
  | { readonly status: 'no-provider'; readonly message: 'No sync provider configured' }
  | { readonly status: 'disconnected'; readonly message: 'Provider not connected' }
  | { readonly status: 'invalid'; readonly message: 'Connection validation failed' }
  | { readonly status: 'healthy'; readonly message: 'Sync system operational' }

/**
 * Asks the cloud now, whatever it answered before: `disconnected` means that it cannot be reached, `invalid` that it
 * was and refuses, as a token or a version that does not fit. Rejects with `aborted` only.
 */
export async function checkHealth(
  provider: SyncProvider | null,
  options: { readonly signal?: AbortSignal } = {},
): Promise<HealthReport> {
  if (provider === null) return { status: 'no-provider', message: 'No sync provider configured' }
  if (await provider.validateConnection(options))
    return { status: 'healthy', message: 'Sync system operational' }
  const { lastFailure } = provider
  return lastFailure !== null && TROUBLES[lastFailure.code] === 'connection'
    ? { status: 'disconnected', message: 'Provider not connected' }
    : { status: 'invalid', message: 'Connection validation failed' }
}
