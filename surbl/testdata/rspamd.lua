-- Prints the URLs that rspamd finds in the messages named on the lines of the
-- file URLS_OF: path, host and text, with tabs between. Run by rspamadm lua -b;
-- "rspamadm mime urls" does the same, and leaves out what images load.
local rspamd_task = require "rspamd_task"
local rspamd_url = require "rspamd_url"

assert(rspamd_config:load_ucl(rspamd_paths["CONFDIR"] .. "/rspamd.conf"))
assert(rspamd_config:parse_rcl({ "logging", "worker" }))
rspamd_url.init(rspamd_config:get_tld_path())
for path in io.lines(os.getenv("URLS_OF")) do
  local ok, task = rspamd_task.load_from_file(path, rspamd_config)
  assert(ok and task:process_message(), path)
  for _, u in ipairs(task:get_urls(true, true)) do
    print(path, u:get_host() or "", (u:get_text():gsub("%s", " ")))
  end
  task:destroy()
end
print("done")
