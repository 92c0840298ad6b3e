#!lua flags=allow-oom
-- Also while the server has no memory left: a full server is emptied by its consumers, which these scripts let in.
