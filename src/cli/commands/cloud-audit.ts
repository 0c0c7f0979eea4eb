import type { AuditEntry } from '../../cloud/directory.ts'
import { describePlace } from '../../cloud/server/place.ts'
import type { CliContext } from '../context.ts'
import { cloudPlace, hasDirectory, openDirectory, type PlaceOptions } from './directory.ts'

/** tidemark cloud audit: who changed tokens, spaces and devices, the newest last as in any log. */
export async function showAudit(
  context: CliContext,
  options: PlaceOptions & { readonly limit: number },
): Promise<void> {
  const place = cloudPlace(context, options)
  if (!(await hasDirectory(place)))
    return context.output.result({ entries: [] }, [`There is no cloud in ${describePlace(place)} yet.`])
  await using directory = await openDirectory(place, context)
  const entries = (await directory.audit(options.limit)).toReversed()
  context.output.result(
    { entries },
    entries.length === 0 ? ['No token, space or device was ever made.'] : entries.map(describeEntry),
  )
}

function describeEntry({ at, action, account, subject, by }: AuditEntry): string {
  const time = new Date(at).toISOString()
  const who = by === null ? '' : `  by ${printable(by)}`
  return `${time}  ${action.padEnd(19)} ${printable(account)}  ${printable(subject)}${who}`
}

/** Names come from clients: what would steer a terminal is shown as a question mark. */
const printable = (text: string): string => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?')
