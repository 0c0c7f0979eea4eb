import { quoteName } from '../driver/driver.ts'
import type { Shape } from '../shape/shape.ts'
import { displacedTriggers } from './displaced.ts'
import { FLAG_ROW, keyIsWhole, keyOfRow, markStatement, markTime, NOT_APPLYING, rowidNames } from './marks.ts'
import { triggerName, type TriggerKind } from './names.ts'
import type { TriggerSource, TriggerText } from './source.ts'

/**
 * Every trigger of one table, in the order in which they are to be made. A row that goes from under its key is marked
 * before it goes, for SQLite up to 3.53 may tell AFTER triggers another key than the row had: looking for rows that
 * refer to it through an index on a column of numbers, it makes 7 of the text '007'. Row numbers are safe from that.
 */
export function captureTriggers(source: TriggerSource): readonly TriggerText[] {
  const { shape } = source
  const keys = keyNames(shape).join(', ')
  const early = [
    markTrigger(source, 'bk', `BEFORE UPDATE OF ${keys}`, 'OLD', keyDiffers(shape)),
    markTrigger(source, 'bd', 'BEFORE DELETE', 'OLD', ''),
  ]
  return [
    ...displacedTriggers(source),
    ...(shape.rowidAlias ? [] : early),
    markTrigger(source, 'i', 'AFTER INSERT', 'NEW', ''),
    markTrigger(source, 'u', 'AFTER UPDATE', 'OLD', ''),
    markTrigger(source, 'k', `AFTER UPDATE OF ${keys}`, 'NEW', keyDiffers(shape)),
    ...(shape.rowidAlias ? [markTrigger(source, 'd', 'AFTER DELETE', 'OLD', '')] : []),
  ]
}

function markTrigger(
  source: TriggerSource,
  kind: TriggerKind,
  when: string,
  row: 'NEW' | 'OLD',
  condition: string,
): TriggerText {
  const { shape, number, clock } = source
  const name = triggerName(number, kind)
  const select = `${keyOfRow(shape, row)}, ${markTime(clock)} FROM ${FLAG_ROW} WHERE ${NOT_APPLYING}`
  const mark = markStatement(shape, number, `${select}${keyIsWhole(shape, row)}${condition}`)
  const on = `${when} ON ${quoteName(shape.name)}`
  return { name, sql: `CREATE TRIGGER ${quoteName(name)} ${on} BEGIN ${mark} END` }
}

/** `UPDATE OF` goes by the names in SET, and the key's row number has three more. */
function keyNames(shape: Shape): readonly string[] {
  const names = shape.key.map((key) => key.name)
  return [...names, ...(shape.rowidAlias ? rowidNames(shape) : [])].map(quoteName)
}

/** By value: a collation that takes two spellings for one may be the column's and not the key's. */
function keyDiffers(shape: Shape): string {
  const differ = shape.key.map(
    ({ name }) => `OLD.${quoteName(name)} IS NOT NEW.${quoteName(name)} COLLATE BINARY`,
  )
  return ` AND (${differ.join(' OR ')})`
}
