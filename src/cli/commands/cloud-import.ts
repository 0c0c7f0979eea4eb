import { digestCopy } from '../../cloud/export/digest.ts'
import { watchCopy } from '../../cloud/export/export-space.ts'
import { readExportFile, readExportPipe } from '../../cloud/export/files.ts'
import { readExport } from '../../cloud/export/import-space.ts'
import type { SpaceCopy } from '../../cloud/log/copy.ts'
import type { Log } from '../../cloud/log/log.ts'
import { openStorage } from '../../cloud/server/storage.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { isSpaceName } from '../../protocol/space-name.ts'
import type { CliContext } from '../context.ts'
import { countOf, formatCount, startProgress } from '../progress.ts'
import { PIPE, type MoveOptions } from './cloud-export.ts'
import { cloudPlace, COMMAND_LINE } from './directory.ts'

/**
 * tidemark cloud import: an exported space becomes a space of this cloud. A file is read to its end before anything
 * is touched; a pipe can only be read once.
 */
export async function importSpace(context: CliContext, file: string, options: MoveOptions): Promise<void> {
  const { output } = context
  const { account, space } = options
  if (!isSpaceName(space)) throw new TidemarkError('bad_usage', 'a space cannot have this name')
  const read = () => readExport(file === PIPE ? readExportPipe(context.input) : readExportFile(file))
  if (file !== PIPE) await drain(watched(context, 'Reading', await read()))

  await using storage = await openStorage(cloudPlace(context, options), { clock: context.clock })
  const copy = await read()
  const id = await storage.directory.ensureSpace(account, space, COMMAND_LINE)
  await storage.log.importSpace(id, watched(context, 'Importing', copy))
  const { records, replicas, hash } = copy.end()
  await verify(context, storage.log, id, hash, copy.space.head)
  const { epoch, head } = copy.space
  // Whoever waits for it at a running node.
  storage.bus.publish(id, head, null)
  output.result({ account, space, file, epoch, head, records, replicas, hash }, [
    `${countOf(records, 'record')} and ${countOf(replicas, 'replica')}, up to version ${formatCount(head)}, are the space ${space} of the account ${account}.`,
    `hash ${hash}`,
  ])
  output.say('Devices go on from where they are once their endpoint and token are of this cloud.')
}

function watched<T extends SpaceCopy>(context: CliContext, label: string, copy: T): SpaceCopy {
  const progress = startProgress(context.output, label, context.clock)
  return watchCopy(copy, (records) => {
    if (context.signal.aborted) throw new TidemarkError('aborted')
    progress.update(records, copy.space.records)
  })
}

async function drain(copy: SpaceCopy): Promise<void> {
  for await (const _ of copy.pages());
}

/** Reads the space back. Who wrote into it in between has made it another one. */
async function verify(context: CliContext, log: Log, id: string, hash: string, head: number): Promise<void> {
  await using copy = await log.copySpace(id)
  const there = await digestCopy(watched(context, 'Checking', copy))
  if (there.hash === hash || copy.space.head !== head) return
  throw new TidemarkError('invariant', 'What was imported is not what was exported')
}
