import type { Fields } from '../src/kernel/values.ts'
import { rowId, showRow, type CloudView, type DiskView } from './view.ts'

/** Where a text is on a disk, for the trace of a case that is being looked into. */
export function placesOnDisk(disk: DiskView, text: string, name: string): readonly string[] {
  const places: string[] = []
  const holds = (fields: Fields | null | undefined) =>
    fields !== null && fields !== undefined && Object.values(fields).includes(text)
  for (const [table, rows] of disk.tables) {
    for (const [key, row] of rows) {
      const id = rowId(table, key)
      const agreed = disk.agreed.get(id)
      if (holds(row))
        places.push(
          `${name} ${showRow(id)}${disk.marked.has(id) ? ' marked' : ''}${disk.held.has(id) ? ' held' : ''} v${agreed?.version ?? '-'}`,
        )
    }
  }
  for (const [id, record] of disk.parked)
    if (holds(record.fields)) places.push(`${name} parked ${showRow(id)} v${record.version}`)
  for (const entry of disk.inbox) {
    if (holds(entry.local))
      places.push(`${name} inbox ${entry.kind} local ${entry.key} ${entry.chosen} ${entry.status}`)
    if (holds(entry.remote?.fields))
      places.push(`${name} inbox ${entry.kind} remote ${entry.key} ${entry.chosen} ${entry.status}`)
  }
  if (disk.inFlight?.parts.some((part) => part.includes(text)) === true)
    places.push(`${name} in flight ${disk.inFlight.number}`)
  return places
}

export function placesInCloud(cloud: CloudView, text: string, name: string): readonly string[] {
  return [...cloud.records.values()]
    .filter(({ fields }) => fields !== undefined && Object.values(fields).includes(text))
    .map(({ table, key, version, by }) => `${name} ${table} ${key} v${version} by ${by}`)
}
