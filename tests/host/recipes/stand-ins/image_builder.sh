#!/usr/bin/env bash
# image_builder.sh of Kata's osbuilder: look for guest-init and the modules in the root file system.
[[ -x $1/sbin/guest-init && -e $1/lib/modules && -x $1/sbin/init && $# == 1 ]]
