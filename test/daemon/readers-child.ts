/** The readers of one folder, in a process that a test kills: `node readers-child.ts FOLDER`. */
import { join } from 'node:path'

import { openAgentsDatabase } from '../../src/daemon/agents/database.ts'
import { openChangeFeed } from '../../src/daemon/changes/change-feed.ts'
import { openEventLog } from '../../src/daemon/changes/event-log.ts'
import { startEventsReader } from '../../src/daemon/changes/events-reader.ts'
import { startIndexer } from '../../src/daemon/changes/search/indexer.ts'
import { openPrivateDatabase } from '../../src/daemon/private-database.ts'
import { systemClock as clock } from '../../src/kernel/clock.ts'
import { silentLogger as logger } from '../../src/kernel/logger.ts'
import { systemRandom as random } from '../../src/kernel/random.ts'
import { homeFolders } from '../../src/machine/folders.ts'

const folder = process.argv[2] ?? ''
const open = () => openAgentsDatabase(join(folder, 'agents.db'))
const feed = openChangeFeed({ open, clock, logger })
const database = openPrivateDatabase(homeFolders(folder))
startEventsReader({ database, feed, log: openEventLog(database, clock), clock, random, logger })
const index = startIndexer({ file: join(folder, 'search.db'), open, feed, clock, random, logger, shard: 500 })
const tell = setInterval(() => {
  if (index.isWhole()) process.stdout.write('whole\n')
}, 20)
process.on('disconnect', () => clearInterval(tell))
