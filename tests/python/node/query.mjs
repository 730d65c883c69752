// Reads one request as JSON from the command line, prints the answer as JSON. Run by test_node.py.
import { createRequire } from 'node:module';

const require = createRequire(process.env.SKEIN_NODE_MODULES + '/');
const { createFlightSqlClient } = require('@lakehouse-rs/flight-sql-client');
const { tableFromIPC } = require('apache-arrow');

const { options, call, argument } = JSON.parse(process.argv[2]);
const plain = (_, value) => (typeof value === 'bigint' ? Number(value) : value);

try {
  const client = await createFlightSqlClient({ headers: [], tls: false, ...options });
  const table = tableFromIPC(await client[call](argument));
  const rows = table.toArray().map((row) => row.toJSON());
  console.log(JSON.stringify({ columns: table.schema.fields.map((field) => field.name), rows }, plain));
} catch (error) {
  console.log(JSON.stringify({ error: String(error) }));
}
