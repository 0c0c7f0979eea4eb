import type { Clock } from '../../kernel/clock.ts'
import type { Place } from '../server/place.ts'
import type { Finding } from './finding.ts'

export interface CheckOptions {
  readonly clock: Clock
  /** Nodes that are to share a database. */
  readonly nodes: number
}

/**
 * Looks at everything about a cloud's storage that an operator can get wrong, and changes nothing: not even tables
 * that are missing are made. Beside running nodes it may be used at any time. Rejects with `bad_usage` for an
 * address that is none; all else is a finding.
 */
export async function checkCloud(place: Place, options: CheckOptions): Promise<readonly Finding[]> {
  if ('data' in place) return (await import('./folder.ts')).checkFolder(place.data)
  return (await import('./postgres.ts')).checkPostgres(place.database, options)
}
