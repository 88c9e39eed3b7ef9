#!/usr/bin/env bash
# Trains the four models and the ablations one after the other, each for the same steps on the same
# data, and measures each on the test people. Run it again, and it goes on where it stopped.
#
#   benchmarks/compare.sh DATA STEPS [FOLDER [FLAGS OF train.py…]]     then: make report
#
# DATA is a prepared set with labels; the flags go to every run. From the environment come BATCH
# (default 64), DEVICE, PYTHON, ONLY (names of runs, parted by spaces) and MINUTES (larsen2016 stops
# after so long: its steps are slower, so the same time says more than the same steps).
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:?a prepared set} steps=${2:?steps of each run} folder=${3:-runs/compare}
flags=("${@:4}")
python=${PYTHON:-python3}

train() { # NAME FLAGS…
    local name=$1
    shift
    if [ -n "${ONLY:-}" ] && [[ " $ONLY " != *" $name "* ]]; then
        return
    fi
    if [ -f "$folder/$name/done-$steps" ]; then
        echo "$name is done."
        return
    fi
    echo "== $name"
    "$python" train.py --data "$data" --out "$folder/$name" --steps "$steps" \
        --batch-size "${BATCH:-64}" --evaluate --judge "$folder/judge.safetensors" \
        ${DEVICE:+--device "$DEVICE"} "$@" ${flags[@]+"${flags[@]}"}
    touch "$folder/$name/done-$steps"
}

mkdir -p "$folder"
train autoencoder --model autoencoder
train vae --model vae
train gan --model gan
train vaegan --model vaegan
train vaegan-no-feature-loss --model vaegan --no-feature-loss
train vaegan-no-prior-samples --model vaegan --no-prior-samples
train vaegan-no-attributes --model vaegan --no-attributes
train vaegan-no-augment --model vaegan --no-augment
train larsen2016 --model vaegan --preset larsen2016 ${MINUTES:+--minutes "$MINUTES"}
